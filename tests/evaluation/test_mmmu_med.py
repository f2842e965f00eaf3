"""MMMU: the published table from the published outputs, its parser, its three layouts."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evaluation.benchmarks import load_references
from evaluation.conventions import CHOICE_CONVENTIONS
from evaluation.conventions.mmmu import choose, short_answer
from evaluation.mmmu_rows import SUBJECTS, reference_of
from evaluation.predictions import match_ids, read_predictions
from evaluation.references import Reference
from evaluation.scoring import score_answers
from evaluation.tasks import load_task
from semihvision.cli.main import main
from semihvision.core.errors import InputError, RefusalLog

PUBLISHED = {
    "Basic_Medical_Science": 0.5, "Clinical_Medicine": 0.4,
    "Diagnostics_and_Laboratory_Medicine": 0.367, "Pharmacy": 0.267, "Public_Health": 0.4,
}  # fmt: skip
"""The owners' scorer on LLaVA-1.5-13B's outputs (metrics.md, section 3)."""


@pytest.fixture(scope="module")
def rows(mmmu_folder: Path) -> list[dict[str, Any]]:
    files = sorted((mmmu_folder / "llava1.5_13b").glob("*/output.json"))
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("references", ["llava1.5_13b", "answer_dict_val.json"])
def test_the_published_table_by_the_command(
    mmmu_folder: Path, references: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3: the file also holds the answers to the other 25 subjects, which are listed."""
    code = main(
        [
            "score", "--benchmark=mmmu_med", "--json",
            f"--predictions={mmmu_folder / 'llava1.5_13b' / 'total_val_output.json'}",
            f"--references={mmmu_folder / references}",
        ]
    )  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    assert (code, document["n"], document["missing"]) == (3, 150, 0)
    assert [one["kind"] for one in document["refused"]] == ["unknown_id"] * 750
    scores = document["conventions"]["mmmu"]
    assert (round(scores["accuracy"] / 100, 3), scores["unparsable"]) == (0.387, 0)
    found = {
        subject: round(of_one["conventions"]["mmmu"]["accuracy"] / 100, 3)
        for subject, of_one in document["subsets"].items()
    }
    assert found == PUBLISHED


def test_raw_responses_of_a_subject_are_read_and_give_the_same(mmmu_folder: Path) -> None:
    """In these rows `answer` is the gold and `response` what the model said."""
    folder = mmmu_folder / "llava1.5_13b"
    for subject, accuracy in PUBLISHED.items():
        references = load_references("mmmu_med", folder / subject / "output.json")
        predictions = read_predictions(folder / subject / "output.json")
        assert match_ids(predictions, references) == predictions
        scores = score_answers(references, predictions.answers, conventions=CHOICE_CONVENTIONS)
        assert round(scores["conventions"]["mmmu"]["accuracy"] / 100, 3) == accuracy


def test_the_parser_reads_every_response_as_the_owners_did(mmmu_folder: Path, rows) -> None:
    file = mmmu_folder / "llava1.5_13b" / "total_val_output.json"
    owners = json.loads(file.read_text(encoding="utf-8"))
    choices = [row for row in rows if row["question_type"] == "multiple-choice"]
    assert (len(rows), len(choices)) == (900, 847)
    differing = {
        row["id"]: (choose(row["response"], reference_of(row)), owners[row["id"]])
        for row in choices
        if choose(row["response"], reference_of(row)) != owners[row["id"]]
    }
    # "A) ..." of at most five words: the owners chose at random.
    assert differing == {
        "validation_Design_4": (None, "A"),
        "validation_Psychology_4": (None, "A"),
    }


def test_the_whole_validation_set_with_the_random_choices(rows) -> None:
    references = [reference_of(row) for row in rows]
    answers = {row["id"]: row["response"] for row in rows}
    scores = score_answers(references, answers, conventions=CHOICE_CONVENTIONS)["conventions"]
    assert round(scores["mmmu_random"]["accuracy"] / 100, 3) == 0.367
    assert scores["mmmu"]["unparsable_ids"] == ["validation_Design_4", "validation_Psychology_4"]
    hits = round(9 * scores["mmmu"]["accuracy"]), round(9 * scores["mmmu_random"]["accuracy"])
    assert hits == (329, 330)


def question(**change: Any) -> Reference:
    row = {
        "id": "validation_Pharmacy_1", "question_type": "multiple-choice", "answer": "B",
        "all_choices": ["A", "B", "C"], "index2ans": {"A": "liver", "B": "lung", "C": "left lung"},
    }  # fmt: skip
    return reference_of(row | change)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B) or (A)", "A"),
        ("I say B or C", "C"),
        ("'B'.", "B"),
        ("B) lung", None),
        ("lung", None),
        ("what is shown is the left lung", "B"),  # "lung" begins later than "left lung"
        ("what is shown here is surely lung", "B"),
        ("", None),
    ],
)
def test_the_letter_that_mmmu_finds(answer: str, letter: str | None) -> None:
    assert choose(answer, question()) == letter


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("The answer is 3.143", "3.14", True),
        ("1,200 ml", "1200", True),
        ("it is Tampa.", ["Tampa", "Florida"], True),
        ("so x = 4", "4", True),
        ("cab", "c", False),
        ("step b", "B", True),
        ("", "4", False),
    ],
)
def test_short_answers(answer: str, gold: str | list[str], right: bool) -> None:
    assert short_answer(answer, question(question_type="short-answer", answer=gold)) is right


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (6, 4), value).save(stream, "PNG")
    return stream.getvalue()


def hub_row(**change: Any) -> dict[str, Any]:
    return {
        "id": "validation_Pharmacy_1", "question": "What is <image 1>?",
        "options": "['<image 2>', 'lung']", "explanation": "", "answer": "B",
        "question_type": "multiple-choice", "subfield": "x",
        "image_1": {"bytes": png(1), "path": "1.png"}, "image_2": {"bytes": png(2), "path": None},
        "image_3": None,
    } | change  # fmt: skip


def write_hub(root: Path, rows: list[dict[str, Any]]) -> Path:
    (root / "Pharmacy").mkdir()
    file = root / "Pharmacy" / "validation-00000-of-00001.parquet"
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [(name, image if name.startswith("image_") else pa.string()) for name in rows[0]]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), file, row_group_size=1)
    return root


def test_the_hubs_layout_is_asked_with_its_images(tmp_path: Path) -> None:
    rows = [
        hub_row(),
        hub_row(id="validation_Pharmacy_2", question_type="open", answer="['24/7', '3.4']",
                options="[]", image_2=None),
    ]  # fmt: skip
    task = load_task("mmmu_med", write_hub(tmp_path, rows))
    first, second = task.questions
    assert first.turns[0].text.split("\n") == [
        "<image>", "<image>", "What is <image 1>?", "A. <image 2>", "B. lung",
    ]  # fmt: skip
    assert [picture.read().getpixel((0, 0)) for picture in first.pictures] == [(1,) * 3, (2,) * 3]
    assert (len(second.pictures), second.pictures[0].size_wh) == (1, (6, 4))
    scored = task.score({first.id: "B", second.id: "3.4"})
    assert scored.metrics["mmmu/accuracy"] == 100
    assert scored.metrics["mmmu/accuracy/Pharmacy"] == 100
    assert set(task.gold.values()) == {"B", "24/7"}


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "C"},
        {"options": "SECRET("},
        {"question_type": "SECRET"},
        {"id": "SECRET"},
        {"image_1": {"bytes": b"SECRET", "path": "x"}},
        {"image_1": {"bytes": None, "path": "x"}},
        {},
    ],
)
def test_broken_rows_are_refused_and_not_quoted(tmp_path: Path, change: dict[str, Any]) -> None:
    task = load_task("mmmu_med", write_hub(tmp_path, [hub_row(), hub_row(**change)]))
    (item,) = task.refused.items
    assert (len(task.questions), item.item) == (1, "part 1, row 0")
    assert "SECRET" not in item.reason


def test_missing_columns_and_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of <Subject>/validation-\*\.parquet"):
        load_references("mmmu_med", tmp_path)
    row = {name: value for name, value in hub_row().items() if name != "options"}
    with pytest.raises(InputError, match="no column options; found id, question"):
        load_references("mmmu_med", write_hub(tmp_path, [row]))
    (tmp_path / "x.json").write_text('{"validation_Art_1": {"ground_truth": "A"}}')
    with pytest.raises(InputError, match="not one usable question; refused: nothing"):
        load_references("mmmu_med", tmp_path / "x.json", RefusalLog())


def test_all_five_subjects_are_asked(mmmu_folder: Path) -> None:
    references = load_references("mmmu_med", mmmu_folder / "answer_dict_val.json")
    assert {one.subsets for one in references} == {(subject,) for subject in SUBJECTS}
    assert sum(bool(one.letter) for one in references) == 145
