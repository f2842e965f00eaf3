"""Prediction files: accepted forms, refusals, and joining by id."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.predictions import (
    Prediction,
    match_ids,
    read_predictions,
    write_predictions,
)
from evaluation.references import Reference
from semihvision.core.errors import InputError


def written(tmp_path, text: str):
    path = tmp_path / "predictions.json"
    path.write_text(text, encoding="utf-8")
    return path


def references(*ids: str) -> list[Reference]:
    return [
        Reference(
            id=name,
            question="Is it?",
            answer="yes",
            answer_type="CLOSED",
            question_type="PRES",
            image="a.jpg",
            group="a.jpg",
        )
        for name in ids
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[{"qid": 1, "answer": "yes"}, {"qid": 2, "answer": 4}]',
        '[{"id": "1", "answer": "yes"}, {"id": "2", "answer": "4", "num_tokens": 3}]',
        '{"qid": 1, "answer": "yes"}\n\n{"id": "2", "qid": 2, "answer": "4"}\n',
        '\ufeff{"id": 1, "answer": "yes"}\r\n{"id": 2, "answer": "4"}',
    ],
)
def test_accepted_forms(tmp_path, text: str) -> None:
    file = read_predictions(written(tmp_path, text))
    assert file.answers == {"1": "yes", "2": "4"}
    assert file.refused.items == []


def test_own_file_round_trips_with_a_missing_answer(tmp_path) -> None:
    path = tmp_path / "own.jsonl"
    write_predictions(
        path,
        [
            Prediction(id="1", answer="Säule\u2028 \n 2", num_tokens=5),
            Prediction(id="2", answer=None),
            Prediction(id="3", answer=""),
        ],
        made_by="model and questions",
    )
    file = read_predictions(path)
    assert file.answers == {"1": "Säule\u2028 \n 2", "2": None, "3": ""}
    assert file.refused.counts() == {"no_answer": 1}


def test_a_failing_write_leaves_the_older_file_as_it_was(tmp_path) -> None:
    path = tmp_path / "own.jsonl"
    write_predictions(path, [Prediction(id="1", answer="yes")], made_by="model")

    def broken():
        yield Prediction(id="2", answer="no")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(path, broken(), made_by="model")
    assert read_predictions(path).answers == {"1": "yes"}
    assert list(tmp_path.iterdir()) == [path]


def test_rows_that_cannot_be_used_are_refused_one_by_one(tmp_path) -> None:
    lines = [
        '{"id": 1, "answer": "SECRET finding"}',
        '{"id": 2, "answer": "SECRET',
        '{"answer": "SECRET"}',
        '{"id": true, "answer": "SECRET"}',
        '{"id": "3", "qid": 4, "answer": "SECRET"}',
        '["SECRET"]',
        '{"id": 5, "answer": ["SECRET"]}',
        '{"id": 6}',
    ]
    path = written(tmp_path, "\n".join(lines))
    file = read_predictions(path)
    assert file.answers == {"1": "SECRET finding", "5": None, "6": None}
    assert file.refused.counts() == {"no_id": 4, "no_answer": 2, "broken_json": 1}
    assert [item.item for item in file.refused.items] == [
        "line 2", "line 3", "line 4", "line 5", "line 6", "5", "6",
    ]  # fmt: skip
    assert all(item.file == str(path) for item in file.refused.items)
    assert "SECRET" not in "".join(item.reason for item in file.refused.items)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no usable prediction"),
        ("[]", "no usable prediction"),
        ('{"11": ["yes", "no"]}', "no usable prediction"),
        ('[{"qid": 1, "answer": "yes"}', "not JSON"),
        ("[" * 100_000, "not JSON: nested too deeply"),
    ],
)
def test_unusable_files_are_named(tmp_path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        read_predictions(path)
    assert str(path) in str(error.value)


def test_unreadable_files_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        read_predictions(tmp_path / "absent.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path)
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'[{"qid": 1, "answer": "S\xe4ule"}]')
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 24\)"):
        read_predictions(latin)


def test_an_id_that_occurs_twice_is_missing(tmp_path) -> None:
    rows = '[{"qid": 7, "answer": "yes"}, {"id": "7", "answer": "no"}, {"id": 8, "answer": "no"}]'
    file = read_predictions(written(tmp_path, rows))
    assert file.answers == {"7": None, "8": "no"}
    assert [(one.item, one.kind) for one in file.refused.items] == [("7", "repeated_id")]


def test_unknown_ids_are_refused_one_by_one(tmp_path) -> None:
    rows = [{"id": number, "answer": "yes"} for number in range(20)]
    file = read_predictions(written(tmp_path, json.dumps(rows)))
    assert match_ids(file, references(*map(str, range(20)))) == file
    some = match_ids(file, references("0", "1", "99"))
    assert some.answers == {"0": "yes", "1": "yes"}
    assert some.refused.counts() == {"unknown_id": 18}
    with pytest.raises(InputError, match=r"20 of 20 .* 0, 1, .*, 9 and 10 more") as error:
        match_ids(file, references("99"))
    assert str(file.path) in str(error.value)


def test_published_forms(tmp_path) -> None:
    """MMMU's rows hold the gold as answer; its other file and MediConfusion's are objects."""
    rows = [{"id": "validation_Art_1", "answer": "GOLD", "response": "(B)", "all_choices": ["A"]}]
    assert read_predictions(written(tmp_path, json.dumps(rows))).answers == {
        "validation_Art_1": "(B)"
    }
    document = {"validation_Art_1": "D", "validation_Art_2": None}
    file = read_predictions(written(tmp_path, json.dumps(document)))
    assert file.answers == {"validation_Art_1": "D", "validation_Art_2": None}
    said = {"im1": {"A": 10, "B": 0, "full_answer": "A."}, "im2": {"A": 0, "B": 0}}
    file = read_predictions(written(tmp_path, json.dumps({"10001": {"answer": said}})))
    assert file.answers == {"10001/im1": "A.", "10001/im2": None}


IDS = st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True)


@settings(deadline=None)
@given(ids=IDS, data=st.data())
def test_order_of_rows_does_not_matter(tmp_path_factory, ids, data) -> None:
    path = tmp_path_factory.mktemp("order") / "predictions.jsonl"
    rows = [Prediction(id=str(number), answer=f"answer {number}") for number in ids]
    write_predictions(path, data.draw(st.permutations(rows)), made_by="model")
    assert read_predictions(path).answers == {row.id: row.answer for row in rows}
