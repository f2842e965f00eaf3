from pathlib import Path

import pytest
from annotation_records import (
    NEIGHBOUR_FINDING,
    ListRetriever,
    bare,
    case_hit,
    guideline_hit,
    record,
    with_regions,
    with_text,
    write_case,
)
from hypothesis import given
from hypothesis import strategies as st

from semihvision.annotation.assemble import assemble
from semihvision.annotation.draft import Draft, Task
from semihvision.annotation.paths import choose_path
from semihvision.annotation.runner import annotate
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.template import TemplateProducer
from semihvision.core.parquet import read_records
from semihvision.core.record import BODY_PARTS, MODALITIES, Label, Record, Region, Text

SETTINGS = AnnotationSettings()


def drafted(one: Record) -> Draft:
    path = choose_path(one, SETTINGS)
    assert path is not None
    made: list[Draft] = []
    task = Task(key="k" * 20, record=one, path=path, images=one.images)
    TemplateProducer(SETTINGS).produce([task], made.append)
    return made[0]


def answers(one: Record) -> dict[str, str]:
    return {qa.question: qa.answer for qa in drafted(one).qa}


_words = st.sampled_from(["liver cyst", "Nodule", "T2_lesion", "mass of 3 lobes", "left adrenal"])
_labels = st.lists(
    st.tuples(
        st.sampled_from(
            ["organ", "finding", "coarse_lesion_type", "laterality", "Pneumonia", "size", "count"]
        ),
        st.sampled_from(["1", "0", "-1", "R", "left", "12 mm", "two", "large", "Focal_mass"]),
    ),
    max_size=5,
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    labels = tuple(
        Label(label_id=f"l{i}", name=name, value=value, system="owner")
        for i, (name, value) in enumerate(draw(_labels))
    )
    regions = tuple(
        Region(
            region_id=f"r{i}",
            image_id="i1",
            box_xyxy=(1.0, 1.0, draw(st.floats(2, 64)), draw(st.floats(2, 64))),
            label=draw(_words),
        )
        for i in range(draw(st.integers(0, 3)))
    )
    kinds = draw(st.lists(st.sampled_from(["findings", "caption", "diagnosis", "history"])))
    texts = tuple(
        Text(text_id=f"t{i}", kind=kind, text=draw(_words) + f" {i} mm", provenance_id="owner")
        for i, kind in enumerate(kinds)
    )
    return record(
        "any",
        modality=draw(st.sampled_from(["", *MODALITIES])),
        body_part=draw(st.sampled_from(["", *BODY_PARTS])),
        labels=labels,
        regions=regions,
        texts=texts,
    )


@given(records())
def test_everything_a_template_says_has_support(one: Record) -> None:
    draft = drafted(one)
    done = assemble(one, draft, SETTINGS)
    assert [gate for gate in done.gates if not gate.passed] == []
    assert done.refused == ()
    assert len(done.record.qa) == len(draft.qa)
    assert draft == drafted(one)


@given(records())
def test_everything_is_labelled_template(one: Record) -> None:
    after = assemble(one, drafted(one), SETTINGS).record
    known = {entry.provenance_id: entry for entry in after.provenance}
    made = (
        *after.texts[len(one.texts) :],
        *after.qa[len(one.qa) :],
        *after.conversations[len(one.conversations) :],
    )
    assert made
    for part in made:
        assert known[part.provenance_id].producer == "template"
        assert known[part.provenance_id].model == "template-v1"


def test_regions_and_labels_are_put_into_words() -> None:
    one = with_regions("a", 2, "R")
    assert drafted(one).caption == (
        "CT of the liver. 2 marked regions. Stated finding: liver lesion. Side: right. "
        "Size of what is marked: 10 x 5 mm; 10 x 5 mm."
    )
    assert answers(one) == {
        "Which imaging modality is this?": "CT",
        "Which organ is shown?": "liver",
        "Which finding is stated?": "liver lesion",
        "How many regions are marked?": "2",
        "On which side is the finding?": "right",
    }


def test_no_side_without_a_label_and_no_size_of_several_boxes() -> None:
    asked = answers(with_regions("a", 1))
    assert "On which side is the finding?" not in asked
    assert asked["How large is the marked region?"] == "10 x 5 mm"
    assert not {"left", "right"} & set(drafted(with_regions("a", 1)).caption.lower().split())


def test_human_text_is_kept_word_for_word() -> None:
    draft = drafted(with_text("a"))
    assert draft.caption == (
        "CT of the abdomen. CT shows a hypodense mass of 23 mm in the right lobe of the liver."
    )
    assert answers(with_text("a"))["What is the diagnosis?"] == "Hepatic haemangioma"
    assert "Is a finding stated for this image?" not in answers(with_text("a"))


def test_another_language_stays_what_it_is() -> None:
    text = Text(
        text_id="t", kind="report", text="Sin hallazgos.", language="es", provenance_id="owner"
    )
    draft = drafted(with_text("a", "padchest", texts=(text,)))
    assert (draft.caption, draft.language) == ("Sin hallazgos.", "es")


def test_a_text_about_one_image_is_not_said_of_another() -> None:
    first = with_text("a").images[0]
    images = (first, first.model_copy(update={"image_id": "i2", "path": "b.png"}))
    texts = tuple(
        Text(
            text_id=f"t{i}",
            kind="caption",
            text=f"Shows {i}.",
            image_ids=(i,),
            provenance_id="owner",
        )
        for i in ("i1", "i2")
    )
    one = with_text("a", images=images, texts=texts)
    draft = drafted(one)
    assert (draft.caption_image_ids, draft.caption) == (("i1",), "CT of the abdomen. Shows i1.")
    shown = {qa.image_ids: qa.answer for qa in draft.qa if qa.question.startswith("What does")}
    assert shown == {("i1",): "Shows i1.", ("i2",): "Shows i2."}
    after = assemble(one, draft, SETTINGS).record
    assert [c.image_ids for c in after.conversations] == [("i1",), ("i2",), ("i1", "i2")]


def test_several_texts_of_a_kind_become_one_answer() -> None:
    texts = tuple(
        Text(text_id=f"t{i}", kind="findings", text=f"Finding {i}.", provenance_id="owner")
        for i in (1, 2)
    )
    asked = answers(with_text("a", texts=texts))
    assert asked["What are the imaging findings?"] == "Finding 1. Finding 2."


def test_bare_images_get_no_finding(tmp_path: Path) -> None:
    path, roots = write_case(tmp_path, [bare("a")])
    retriever = ListRetriever([case_hit(), guideline_hit()])
    annotate(
        path,
        out=tmp_path / "out.parquet",
        producer=TemplateProducer(),
        roots=roots,
        retriever=retriever,
    )
    after = next(read_records(tmp_path / "out.parquet"))
    assert after.texts[0].text == "CT of the abdomen. No finding is stated."
    assert after.provenance[1].retrieved[0].ref == "eurorad/9"
    written = after.texts[0].text + " ".join(f"{qa.question} {qa.answer}" for qa in after.qa)
    assert not set(NEIGHBOUR_FINDING.lower().split()) - {"a", "of", "the"} & set(
        written.lower().replace(".", "").split()
    )


def test_nothing_known_is_said_to_be_nothing() -> None:
    draft = drafted(bare("a", modality="", body_part=""))
    assert draft.caption == "Medical image. No finding is stated."
    assert [qa.answer for qa in draft.qa] == ["no"]


@pytest.mark.parametrize("path", ["rewrite", "describe", "retrieve"])
def test_the_hash_names_version_and_path(path: str) -> None:
    producer = TemplateProducer()
    assert len(producer.prompt_hash(path, "eurorad")) == 64  # type: ignore[arg-type]
