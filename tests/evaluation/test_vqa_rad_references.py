"""Reading VQA-RAD's questions: cleaning, counts, and refusals that quote nothing."""

import json

import pytest

from evaluation.benchmarks import load_references
from semihvision.core.errors import InputError

ROW = {
    "qid": 11,
    "image_name": "synpic42202.jpg",
    "answer": "Yes",
    "answer_type": "CLOSED",
    "question_type": "PRES",
    "question": "Is there an aneurysm?",
}


def written(tmp_path, document):
    path = tmp_path / "testset.json"
    path.write_text(json.dumps(document))
    return path


def test_fields_and_cleaning(tmp_path) -> None:
    rows = [ROW, {**ROW, "qid": 12, "answer": 4, "answer_type": "CLOSED "}]
    first, second = load_references("vqa_rad", written(tmp_path, rows))
    assert (first.id, first.answer, first.answer_type) == ("11", "Yes", "CLOSED")
    assert (first.image, first.group) == ("synpic42202.jpg", "synpic42202.jpg")
    assert (second.answer, second.answer_type) == ("4", "CLOSED")


@pytest.mark.parametrize(
    ("name", "num_rows", "num_closed", "num_images"),
    [("testset", 451, 272, 203), ("trainset", 3064, 1823, 314)],
)
def test_counts_of_the_real_files(vqa_rad_root, name, num_rows, num_closed, num_images) -> None:
    references = load_references("vqa_rad", vqa_rad_root / f"{name}.json")
    assert len(references) == len({one.id for one in references}) == num_rows
    assert sum(one.answer_type == "CLOSED" for one in references) == num_closed
    assert len({one.image for one in references}) == num_images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, "row 2: answer: expected non-empty text or an integer, found null"),
        ({"answer": 4.5}, "row 2: answer: .* found a number"),
        ({"answer": " "}, "row 2: answer: .* found an empty text"),
        ({"question": ["SECRET"]}, "row 2: question: .* found an array"),
        ({"qid": True}, "row 2: qid: .* found true or false"),
        ({"answer_type": "SECRET"}, "row 2: answer_type: expected CLOSED or OPEN"),
        ({"qid": "11"}, "row 2: qid 11 stands in row 1 already"),
    ],
)
def test_malformed_rows_are_named_not_quoted(tmp_path, change, message) -> None:
    path = written(tmp_path, [ROW, {**ROW, "qid": 12, **change}])
    with pytest.raises(InputError, match=message) as error:
        load_references("vqa_rad", path)
    assert "1 of 2 rows" in str(error.value)
    assert str(path) in str(error.value)
    assert "SECRET" not in str(error.value)


def test_only_the_first_ten_problems_are_named(tmp_path) -> None:
    path = written(tmp_path, [0] * 30)
    with pytest.raises(InputError, match="30 of 30 rows") as error:
        load_references("vqa_rad", path)
    assert str(error.value).count("expected an object") == 10


@pytest.mark.parametrize("document", [{}, [], "SECRET", None])
def test_other_documents_are_refused(tmp_path, document) -> None:
    with pytest.raises(InputError, match="expected a JSON list of questions"):
        load_references("vqa_rad", written(tmp_path, document))


def test_broken_json_is_named_with_its_place(tmp_path) -> None:
    path = tmp_path / "testset.json"
    path.write_text('[{"qid": 1,\n "answer": SECRET}]')
    with pytest.raises(InputError, match=r"not JSON: .* \(line 2, column 12\)") as error:
        load_references("vqa_rad", path)
    assert "SECRET" not in str(error.value)


def test_unknown_benchmark_lists_the_known_ones(tmp_path) -> None:
    with pytest.raises(InputError, match="unknown benchmark 'vqarad'; known: vqa_rad"):
        load_references("vqarad", tmp_path)
