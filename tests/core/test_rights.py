import pytest
from hand_written_records import ALL, eurorad_case

from semihvision.core.card import CARD_MODULES, card
from semihvision.core.record import Licence, Provenance, Record, Retrieved
from semihvision.core.rights import RightsCounts, rights_of


def record_of(source: str, *retrieved: Retrieved, licence: Licence | None = None) -> Record:
    """A record of a source, whose texts were made with what was retrieved."""
    made = Provenance(provenance_id="p", producer="model", retrieved=retrieved)
    one = Licence(name=card(source).licence) if source in CARD_MODULES else Licence(name="theirs")
    return Record(
        record_id=f"{source}/1",
        source=source,
        group_id="g",
        provenance=(made,),
        licence=licence or one,
    )


@pytest.mark.parametrize("name", CARD_MODULES)
def test_a_record_alone_has_the_terms_of_its_card(name: str) -> None:
    rights, one = rights_of(record_of(name)), card(name)

    assert rights.sources == (name,)
    assert rights.conditions == one.api_conditions
    assert rights.redistribution == one.redistribution
    assert rights.commercial_use == one.commercial_use
    assert (rights.share_alike, rights.exports_text) == (one.share_alike, one.exports_text)


@pytest.mark.parametrize("name", ["padchest", "radiopaedia", "jama", "mimic_cxr"])
def test_a_retrieved_case_binds_what_was_made_with_it(name: str) -> None:
    case = Retrieved(ref=f"{name}/7", kind="case", score=0.9)

    rights = rights_of(record_of("vqa_rad", case))

    assert rights.sources == ("vqa_rad", name)
    assert rights.licence == "CC0-1.0"
    assert rights.redistribution == card(name).redistribution == "no"
    assert set(card(name).api_conditions) <= set(rights.conditions)
    assert rights.exports_text == card(name).exports_text
    assert rights.hosted.startswith("your consent + ")


def test_conditions_of_the_record_itself_count_too() -> None:
    own = Licence(name="own", conditions=("owner_permission",))

    assert rights_of(record_of("deeplesion", licence=own)).conditions == ("owner_permission",)


def test_unknown_terms_allow_nothing() -> None:
    rights = rights_of(record_of("elsewhere"))

    assert rights.hosted == "no: terms not known"
    assert (rights.redistribution, rights.commercial_use, rights.exports_text) == (
        "no",
        "no",
        False,
    )


def test_counts_add_up() -> None:
    counts = RightsCounts()
    records = [*(make() for make in ALL), eurorad_case()]
    for record in records:
        counts.add(record)

    rows = counts.document()

    assert sum(row["records"] for row in rows) == len(records)
    assert sum(row["images"] for row in rows) == sum(len(record.images) for record in records)
    assert rows[0]["sources"] == ("eurorad",)
    assert rows[0]["records"] == 2


@pytest.mark.parametrize("name", ["eurorad", "deeplesion", "padchest", "open_guidelines"])
def test_a_licence_of_its_own_grants_nothing_that_the_card_says_of_another(name: str) -> None:
    rights = rights_of(record_of(name, licence=Licence(name="author's permission")))

    expected = "no" if card(name).redistribution == "no" else "not stated"
    assert (rights.redistribution, rights.commercial_use) == (
        expected,
        "no" if card(name).commercial_use == "no" else "not stated",
    )
