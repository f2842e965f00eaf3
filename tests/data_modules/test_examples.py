import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.examples import CAPTION_REQUESTS, examples_of
from semihvision.core.errors import InputError
from semihvision.core.record import QA, ImageRef, Licence, Provenance, Record, Text


def record(name: str = "1", **changes: object) -> Record:
    fields = {
        "record_id": f"folder/{name}",
        "source": "folder",
        "group_id": name,
        "images": (ImageRef(image_id="i", path="i.png", format="png", width=4, height=4),),
        "provenance": (
            Provenance(provenance_id="human", producer="human"),
            Provenance(
                provenance_id="no", producer="reviewer", decision="rejected", subject_id="q2"
            ),
        ),
        "texts": (
            Text(
                text_id="t",
                kind="caption",
                text="A phantom.",
                image_ids=("i",),
                provenance_id="human",
            ),
            Text(text_id="h", kind="history", text="Cough.", provenance_id="human"),
        ),
        "qa": (
            QA(
                qa_id="q1",
                question="Which?",
                answer="B",
                options=("left", "right"),
                image_ids=("i",),
                provenance_id="human",
            ),
            QA(qa_id="q2", question="Wrong?", answer="yes", provenance_id="human"),
            QA(qa_id="q3", question="Text only?", answer="yes", provenance_id="human"),
        ),
        "licence": Licence(name="CC0-1.0"),
    }
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def test_questions_show_their_image_and_options_and_leave_rejected_ones_out() -> None:
    made = list(examples_of([record()], uses=["qa"]))
    assert [example.example_id for example in made] == ["folder/1#q1", "folder/1#q3"]
    assert made[0].turns[0].text == "<image>\nWhich?\nA. left\nB. right"
    assert made[0].turns[1].text == "B"
    assert [image.path for image in made[0].images] == ["i.png"]
    assert made[1].turns[0].text == "Text only?"
    assert made[1].images == ()


def test_only_texts_that_describe_an_image_answer_a_caption_request() -> None:
    (made,) = examples_of([record()], uses=["captions"])
    request = made.turns[0].text.removeprefix("<image>\n")
    assert request in CAPTION_REQUESTS
    assert made.turns[1].text == "A phantom."


def test_owners_split_of_the_question_wins_over_that_of_the_record() -> None:
    questions = (
        QA(qa_id="a", question="?", answer="x", split="test", provenance_id="human"),
        QA(qa_id="b", question="?", answer="x", provenance_id="human"),
    )
    only = record(qa=questions, split="val", provenance=record().provenance[:1])
    made = {example.example_id: example.split for example in examples_of([only], uses=["qa"])}
    assert made == {"folder/1#a": "test", "folder/1#b": "validation"}


@given(fraction=st.floats(0.05, 0.6), seed=st.integers(0, 5))
def test_held_out_groups_are_whole_and_about_the_asked_share(fraction: float, seed: int) -> None:
    records = [
        record(f"{group}-{part}", group_id=str(group)) for group in range(100) for part in (0, 1)
    ]
    made = examples_of(records, uses=["qa"], validation_fraction=fraction, seed=seed)
    splits: dict[str, set[str]] = {}
    for example in made:
        group = example.example_id.split("/")[1].split("-")[0]
        splits.setdefault(group, set()).add(example.split)
    assert all(len(found) == 1 for found in splits.values())
    share = sum(found == {"validation"} for found in splits.values()) / 100
    assert abs(share - fraction) < 0.2


def test_a_dialogue_asks_all_questions_about_an_image_and_shows_it_once() -> None:
    questions = tuple(
        QA(
            qa_id=f"q{n}",
            question=f"{n}?",
            answer=f"{n}!",
            image_ids=("i",),
            split="test" if n == 9 else "train",
            provenance_id="human",
        )
        for n in range(10)
    )
    only = record(qa=questions, provenance=record().provenance[:1])
    made = list(examples_of([only], uses=["dialogues"]))
    assert [len(example.turns) for example in made] == [16, 2, 2]
    assert [example.split for example in made] == ["train", "train", "test"]
    for example in made:
        assert sum(turn.text.count("<image>") for turn in example.turns) == 1
        assert example.turns[0].text.startswith("<image>\n")
        assert len(example.images) == 1
        for asked, told in zip(example.turns[::2], example.turns[1::2], strict=True):
            assert asked.text.removeprefix("<image>\n")[:-1] == told.text[:-1]
    asked = {turn.text.removeprefix("<image>\n") for e in made for turn in e.turns[::2]}
    assert asked == {f"{n}?" for n in range(10)}


def test_order_in_dialogues_differs_between_records() -> None:
    questions = tuple(
        QA(qa_id=f"q{n}", question=f"{n}?", answer="yes", provenance_id="human") for n in range(4)
    )
    records = [record(str(n), qa=questions, provenance=record().provenance[:1]) for n in range(40)]
    first = {example.turns[0].text for example in examples_of(records, uses=["dialogues"])}
    assert first == {f"{n}?" for n in range(4)}


def test_a_text_about_the_whole_record_shows_all_its_images() -> None:
    images = tuple(
        ImageRef(image_id=name, path=f"{name}.png", format="png", width=4, height=4)
        for name in ("i", "k")
    )
    report = Text(text_id="r", kind="report", text="Clear lungs.", provenance_id="human")
    only = record(images=images, texts=(report,))
    (made,) = examples_of([only], uses=["captions"])
    assert made.turns[0].text.startswith("<image>\n<image>\n")
    assert [image.path for image in made.images] == ["i.png", "k.png"]


def test_a_caption_of_an_image_with_test_questions_is_not_trained_on() -> None:
    tested = QA(
        qa_id="t1", question="?", answer="x", image_ids=("i",), split="test", provenance_id="human"
    )
    kept = record(provenance=record().provenance[:1], qa=(tested,))
    (made,) = examples_of([kept], uses=["captions"])
    assert made.split == "test"


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="split 'dev'; expected one of train, "):
        list(examples_of([record(split="dev")], uses=["captions"]))
