import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import pmc_vqa
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

ROW = {
    "Figure_path": "PMC1064097_F1.jpg",
    "Question": "What is the uptake pattern in the breast? ",
    "Answer": "Focal uptake pattern",
    "Choice A": " A:Diffuse uptake pattern ",
    "Choice B": " B:Focal uptake pattern",
    "Choice C": " C: No uptake: pattern ",
    "Choice D": "D:Cannot be told ",
    "Answer_label": "B",
}
"""A row in the form that the owners' card shows."""


def write(root: Path, table: str, *rows: dict[str, Any], folder: str = "images") -> Path:
    (root / folder).mkdir(exist_ok=True)
    for row in rows:
        Image.new("L", (8, 8)).save(root / folder / Path(row["Figure_path"]).name)
    with (root / table).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def read(root: Path, **options: Any) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(pmc_vqa.read(root, refused, **options)), refused


def test_a_figure_becomes_a_record_with_its_questions(tmp_path: Path) -> None:
    other = {**ROW, "Question": "Which side?", "Answer_label": "A", "Answer": "x"}
    (record,), refused = read(write(tmp_path, "train.csv", ROW, other))

    assert refused.items == []
    assert record.record_id == "pmc_vqa/images/PMC1064097_F1.jpg"
    assert record.group_id == "PMC1064097"
    assert record.images[0].path == "images/PMC1064097_F1.jpg"
    first, second = record.qa
    assert first.question == "What is the uptake pattern in the breast?"
    assert first.options == (
        "Diffuse uptake pattern", "Focal uptake pattern", "No uptake: pattern", "Cannot be told",
    )  # fmt: skip
    assert (first.answer, second.answer) == ("Focal uptake pattern", "Diffuse uptake pattern")
    assert (first.qa_id, first.split, first.image_ids) == ("train/2", "train", ("figure",))
    assert {origin.producer for origin in record.provenance} == {"human", "model"}


@pytest.mark.parametrize(
    "answer",
    [
        {"Answer": "Focal uptake pattern"},
        {"Answer": " b:  focal Uptake pattern".replace("b:", "B:")},
        {"Answer": "B"},
        {"Anwser": "Focal uptake pattern"},
        {"Anwser": " B:Focal uptake pattern"},
        {"Answer": "", "Answer_label": "B"},
        {"Answer_label": " B "},
    ],
)
def test_the_right_option_by_either_spelling_letter_or_text(
    answer: dict[str, str], tmp_path: Path
) -> None:
    row = {k: v for k, v in ROW.items() if not k.startswith("Answer")}
    (record,), refused = read(write(tmp_path, "test.csv", {**row, **answer}))

    assert refused.items == []
    assert record.qa[0].answer == "Focal uptake pattern"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"Answer_label": "E"}, "answer"),
        ({"Answer": "No uptake: pattern"}, "answer"),
        ({"Answer": "", "Answer_label": ""}, "answer"),
        ({"Answer": "nothing of these", "Answer_label": ""}, "answer"),
        ({"Choice A": "A: Focal uptake pattern"}, "answer"),
        ({"Choice D": "NaN"}, "invalid_row"),
        ({"Question": ""}, "invalid_row"),
    ],
)
def test_a_bad_row_is_refused_and_the_rest_goes_on(
    changes: dict[str, str], kind: str, tmp_path: Path
) -> None:
    sound = {**ROW, "Question": "Which one?"}
    (record,), refused = read(write(tmp_path, "train.csv", {**ROW, **changes}, sound))

    assert [question.question for question in record.qa] == ["Which one?"]
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        ("line 2", kind, "train.csv")
    ]
    assert "uptake" not in refused.items[0].reason


def test_letters_come_off_only_when_every_choice_has_its_own(tmp_path: Path) -> None:
    letters = {
        "Choice A": "A: one",
        "Choice B": "B12",
        "Choice C": "C: two",
        "Choice D": "D: three",
    }
    row = {**ROW, **letters, "Answer": ""}
    (record,), _ = read(write(tmp_path, "train.csv", row))

    assert record.qa[0].options == ("A: one", "B12", "C: two", "D: three")


def test_clean_test_questions_are_marked_and_not_repeated(tmp_path: Path) -> None:
    other = {**ROW, "Question": "Which one?"}
    write(tmp_path, "test.csv", ROW, other)
    alone = {**ROW, "Question": "Only here?"}
    write(tmp_path, "test_clean.csv", other, alone)

    (record,), refused = read(tmp_path)

    assert refused.items == []
    marked = [(question.qa_id, bool(question.attributes)) for question in record.qa]
    assert marked == [("test/2", False), ("test/3", True), ("test_clean/3", True)]
    assert {question.split for question in record.qa} == {"test"}
    (only,), _ = read(tmp_path, tables=["test_clean"])
    assert [question.qa_id for question in only.qa] == ["test_clean/2", "test_clean/3"]


@pytest.mark.parametrize("table", ["test.csv", "test_clean.csv"])
def test_a_test_question_that_also_stands_in_training_is_not_trained_on(
    table: str, tmp_path: Path
) -> None:
    write(tmp_path, "train.csv", {**ROW, "Question": "Which one?"}, ROW)
    write(tmp_path, table, ROW)

    (record,), refused = read(tmp_path)

    asked = {question.question: question.split for question in record.qa}
    assert asked == {"Which one?": "train", ROW["Question"].strip(): "test"}
    assert [(one.item, one.kind, one.file) for one in refused.items] == [
        ("line 3", "also_in_test", "train.csv")
    ]


def test_a_row_that_stands_twice_in_the_clean_table_is_refused_once(tmp_path: Path) -> None:
    write(tmp_path, "test.csv", ROW)
    write(tmp_path, "test_clean.csv", ROW, ROW)

    (record,), refused = read(tmp_path)

    assert [bool(question.attributes) for question in record.qa] == [True]
    assert [(one.item, one.kind, one.file) for one in refused.items] == [
        ("line 3", "repeated_id", "test_clean.csv")
    ]


def test_both_generations_are_read_with_their_own_figures_and_captions(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", ROW)
    second = {**ROW, "Answer": "B", "Caption": "PET of the breast."}
    write(tmp_path, "train2.csv", second, folder="images_2")

    first, last = read(tmp_path)[0]

    assert last.record_id == "pmc_vqa/images_2/PMC1064097_F1.jpg"
    assert first.group_id == last.group_id
    assert [(text.kind, text.text) for text in last.texts] == [("caption", "PET of the breast.")]
    assert last.qa[0].answer == "Focal uptake pattern"


def test_an_unusable_table_costs_itself(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", ROW)
    (tmp_path / "test.csv").write_text("Figure_path;Question\n")

    records, refused = read(tmp_path)

    assert len(records) == 1
    assert [(item.item, item.kind) for item in refused.items] == [("test.csv", "unusable_table")]
    assert refused.items[0].reason.startswith("no column Figure_path")


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file train\.csv or test\.csv"):
        read(tmp_path)
    with pytest.raises(InputError, match="table valid: expected train, test"):
        read(tmp_path, tables=["valid"])
    (tmp_path / "train.csv").write_text(",".join(ROW) + "\n")
    with pytest.raises(InputError, match="no folder images or figures; unpack"):
        read(tmp_path)


def test_a_twin_of_one_case_is_read_whole_too(tmp_path: Path) -> None:
    pmc_vqa.write_twin(tmp_path, cases=1, seed=1)

    records, refused = read(tmp_path)

    assert (len(records), refused.items) == (1, [])


def test_the_twin_is_read_whole_and_its_answers_are_balanced(tmp_path: Path) -> None:
    pmc_vqa.write_twin(tmp_path, cases=40, seed=1)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len({record.group_id for record in records}) == 40
    assert {record.record_id.split("/")[1] for record in records} == {"images", "images_2"}
    questions = [question for record in records for question in record.qa]
    assert {question.split for question in questions} == {"train", "test"}
    assert any(question.attributes for question in questions)
    places = [question.options.index(question.answer) for question in questions]
    assert max(places.count(place) for place in range(4)) <= len(places) / 4 + 6
    for record in records:
        organ, place, number = (question.answer for question in record.qa)
        for text in record.texts:
            assert organ.rstrip("s") in text.text or organ == "brain"
            assert place in text.text
            assert number in text.text
