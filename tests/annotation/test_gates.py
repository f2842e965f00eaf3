import pytest
from annotation_records import NEIGHBOUR_FINDING, bare, with_regions, with_text

from semihvision.annotation.draft import ContextItem, Draft
from semihvision.annotation.gates import check, evidence, refused_by, unsupported_claims
from semihvision.annotation.settings import AnnotationSettings
from semihvision.core.record import Record

SETTINGS = AnnotationSettings()


def draft(*retrieved: str) -> Draft:
    context = tuple(
        ContextItem(
            ref=f"eurorad/{i}", kind="case", sources=("eurorad",), score=0.5, title="", text=t
        )
        for i, t in enumerate(retrieved)
    )
    return Draft(
        key="k",
        record_id="folder/a",
        path="retrieve",
        producer="model",
        model="m",
        prompt_hash="h",
        image_ids=("i1",),
        context=context,
    )


def refusals(
    text: str, *retrieved: str, record: Record | None = None, **changes: object
) -> list[str]:
    own = evidence(record or bare("a"), SETTINGS)
    gates = check(
        [text],
        ("i1",),
        seen=False,
        draft=draft(*retrieved),
        own=own,
        settings=AnnotationSettings(**changes),  # type: ignore[arg-type]
    )
    return [gate.name for gate in refused_by(gates)]


def test_a_sound_text_passes() -> None:
    assert refusals("A hypodense mass of the liver.", NEIGHBOUR_FINDING) == []


def test_an_empty_text_is_refused() -> None:
    assert refusals(" \n") == ["not_empty"]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't help with that.",
        "Sorry, but the image is unclear.",
        "As an AI, I do not diagnose.",
        "I cannot provide medical advice.",
        "I am unable to see the image.",
    ],
)
def test_excuses_are_refused(text: str) -> None:
    assert refusals(text) == ["no_apology"]


def test_a_finding_that_cannot_be_seen_is_no_excuse() -> None:
    assert refusals("The right kidney cannot be seen.") == []


def test_copied_words_of_a_neighbour_are_refused() -> None:
    stolen = "CT. a LARGE, necrotic mass of the left kidney with fat."
    assert refusals(stolen, "Other words.", NEIGHBOUR_FINDING) == ["not_copied"]
    assert refusals(stolen, "Other words.") == []


def test_the_length_that_counts_as_copied_is_a_setting() -> None:
    short = "A large necrotic mass of the liver."
    assert refusals(short, NEIGHBOUR_FINDING) == []
    assert refusals(short, NEIGHBOUR_FINDING, copied_ngram=5) == ["not_copied"]


def test_words_that_are_the_records_own_are_not_copied() -> None:
    own = "CT shows a hypodense mass of 23 mm in the right lobe of the liver."
    assert refusals(own, "In this case CT shows a hypodense mass of 23 mm in the right lobe.") == [
        "not_copied"
    ]
    assert refusals(own, own, record=with_text("a")) == []


def test_unknown_images_and_repetitions_are_refused() -> None:
    own = evidence(bare("a"), SETTINGS)
    gates = check(
        ["Q?", "A."], ("no image 7",), seen=True, draft=draft(), own=own, settings=SETTINGS
    )
    assert [gate.name for gate in refused_by(gates)] == ["images_known", "not_duplicate"]


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("A mass of the liver.", []),
        ("A mass of the left lobe.", ["side"]),
        ("Bilateral masses.", ["side"]),
        ("Two masses.", ["number"]),
        ("Multiple masses.", ["number"]),
        ("A solitary mass.", ["number"]),
        ("3 masses.", ["number"]),
        ("A mass of 12 mm.", ["size"]),
        ("A mass of 1.2 x 3 cm of the left lobe.", ["side", "size"]),
        ("T2 hyperintense mass at L4.", []),
        ("In image 1 there is a mass.", []),
    ],
)
def test_statements_without_support_are_named(text: str, claims: list[str]) -> None:
    assert unsupported_claims(text, evidence(bare("a"), SETTINGS)) == claims


@pytest.mark.parametrize(
    "text",
    [
        "Two marked lesions of the right lobe, each 10 x 5 mm.",
        "2 lesions of 1.0 cm on the right side.",
        "Several lesions on the right.",
        "A lesion of 11 mm.",
    ],
)
def test_regions_and_labels_support_statements(text: str) -> None:
    assert unsupported_claims(text, evidence(with_regions("a", 2, "right"), SETTINGS)) == []


def test_support_ends_where_the_evidence_ends() -> None:
    own = evidence(with_regions("a", 2, "right"), SETTINGS)
    assert unsupported_claims("Three lesions.", own) == ["number"]
    assert unsupported_claims("A single lesion.", own) == ["number"]
    assert unsupported_claims("A lesion on the left.", own) == ["side"]
    assert unsupported_claims("A lesion of 14 mm.", own) == ["size"]
    single = evidence(with_regions("a", 1), SETTINGS)
    assert unsupported_claims("A single lesion.", single) == []
    assert unsupported_claims("Multiple lesions.", single) == ["number"]


def test_human_texts_support_statements_generated_ones_do_not() -> None:
    own = evidence(with_text("a"), SETTINGS)
    assert unsupported_claims("A 2.3 cm mass of the right lobe since two weeks.", own) == []
    assert unsupported_claims("A 5 cm mass of the left lobe.", own) == ["side", "size"]


def test_marking_does_not_refuse() -> None:
    assert refusals("Two masses of 40 mm in the left lobe.") == []
