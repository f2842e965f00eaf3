import gzip
from pathlib import Path

import pytest

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_files import parse_json
from semihvision.core.tables import csv_rows, json_rows, jsonl_rows, required_file


def test_csv_is_read_by_name_plain_or_compressed(tmp_path: Path) -> None:
    text = '\ufeffa,b,"c d"\n1,"x, ""y""\nz",3\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))

    for name in ("t.csv", "t.csv.gz"):
        rows = list(csv_rows(tmp_path / name, ("c d", "a"), RefusalLog()))
        assert rows == [(3, {"a": "1", "b": 'x, "y"\nz', "c d": "3"})]


def test_csv_rows_of_another_length_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1\n1,2\n\n1,2,3\n")
    refused = RefusalLog()

    assert list(csv_rows(tmp_path / "t.csv", ("a",), refused)) == [(3, {"a": "1", "b": "2"})]
    assert [(i.item, i.reason, i.kind, i.file) for i in refused.items] == [
        ("line 2", "1 cells, expected 2", "broken_row", "t.csv"),
        ("line 5", "3 cells, expected 2", "broken_row", "t.csv"),
    ]


def test_csv_columns_may_be_spelt_otherwise(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,Bb\n1,2\n")

    rows = list(csv_rows(tmp_path / "t.csv", ("a", "b"), RefusalLog(), spellings={"Bb": "b"}))

    assert rows == [(2, {"a": "1", "b": "2"})]


def test_csv_rows_that_are_not_utf_8_are_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a,b\n1,é\n".encode() + "2,é\n".encode("latin-1") + b"3,e\n")
    refused = RefusalLog()

    rows = list(csv_rows(tmp_path / "t.csv", ("a",), refused))

    assert rows == [(2, {"a": "1", "b": "é"}), (4, {"a": "3", "b": "e"})]
    assert [(i.item, i.reason, i.kind) for i in refused.items] == [
        ("line 3", "not UTF-8; save the table as UTF-8", "encoding")
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\n1\n", "no column b; found a first line of 1 cells"),
        (b"", "no column a, b; found a first line of 0 cells"),
        (b"a;b\n1;2\n", "no column a, b; .* separated by commas"),
        (b"a,b,a\n1,2,3\n", "more than one column a;"),
        ("a,b\n1,2\n".encode("utf-16"), "no column a, b; .* in UTF-8"),
        (b'a,b\n"x,2\n', "unreadable table"),
    ],
)
def test_unusable_tables_are_errors(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(data)

    with pytest.raises(InputError, match=message):
        list(csv_rows(tmp_path / "t.csv", ("a", "b"), RefusalLog()))


def test_a_torn_gzip_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:-20])

    with pytest.raises(InputError, match=r"t.csv.gz, line \d+: unreadable table \(its data"):
        list(csv_rows(tmp_path / "t.csv.gz", ("a",), RefusalLog()))


def test_json_lines_go_on_after_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(
        b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n[]\n{"b": "\xff"}\n{}\n' + b"[" * 99999
    )
    refused = RefusalLog()

    assert list(jsonl_rows(tmp_path / "t.jsonl", refused)) == [(1, {"a": 1}), (6, {})]
    assert [item.item for item in refused.items] == ["line 3", "line 4", "line 5", "line 7"]
    assert refused.counts() == {"broken_json": 4}


@pytest.mark.parametrize(
    ("text", "message"), [('[{"a": 1},\n{', "not JSON: .*line 2"), ("{}", "found an object")]
)
def test_json_arrays(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)

    with pytest.raises(InputError, match=message):
        json_rows(tmp_path / "t.json")
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        json_rows(tmp_path / "absent.json")


def test_a_required_file_may_have_two_names(tmp_path: Path) -> None:
    (tmp_path / "b").touch()

    assert required_file(tmp_path, "a", "b") == tmp_path / "b"
    with pytest.raises(InputError, match="no file c or d"):
        required_file(tmp_path, "c", "d")


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": "\\ud83d"}\n{"a": "\\uD83D\\uDE00"}\n')
    refused = RefusalLog()

    rows = list(jsonl_rows(tmp_path / "t.jsonl", refused))

    assert rows == [(2, {"a": "\N{GRINNING FACE}"})]
    assert [(item.item, item.kind) for item in refused.items] == [("line 1", "broken_json")]
    with pytest.raises(ValueError, match="half a surrogate pair"):
        parse_json('["\\udfff"]')
