import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semihvision.core import json_stream
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_stream import object_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def read(path: Path) -> tuple[list[Any], list[tuple[str, str]]]:
    refused = RefusalLog()
    rows = list(object_rows(path, refused))
    return rows, [(item.item, item.kind) for item in refused.items]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.dictionaries(TEXT, VALUES, max_size=3)),
    chunk=st.integers(1, 9),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_any_array_is_read_as_the_json_library_reads_it(
    rows: list[Any],
    chunk: int,
    indent: int | None,
    ascii_only: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", chunk)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")

    assert read(path) == ([(f"row {n}", row) for n, row in enumerate(rows)], [])


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_broken_row_costs_itself(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", chunk)
    (tmp_path / "rows.json").write_bytes(
        b'\xef\xbb\xbf[{"a": "]}"}, {"a" 1}, {"b": "\xe9"}, [], "x", null, 7, {"c": [{}]}]\n'
    )

    rows, refused = read(tmp_path / "rows.json")

    assert rows == [("row 0", {"a": "]}"}), ("row 7", {"c": [{}]})]
    assert refused == [
        ("row 1", "broken_json"), ("row 2", "encoding"), ("row 3", "broken_json"),
        ("row 4", "broken_json"), ("row 5", "broken_json"), ("row 6", "broken_json"),
    ]  # fmt: skip


@pytest.mark.parametrize("end", ['{"b": ', '{"b": "', "", ","])
def test_a_file_that_stops_in_the_middle_says_so(end: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"a": 1}' + end)

    rows, refused = read(tmp_path / "rows.json")

    assert rows == [("row 0", {"a": 1})]
    assert refused == [("row 1", "broken_json")]


def test_an_unclosed_text_does_not_read_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "MAX_ROW_CHARS", 100)
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", 50)
    (tmp_path / "rows.json").write_text('[{"a": 1}, {"b": "' + "x" * 500 + '"}, {"c": 1}]')

    rows, refused = read(tmp_path / "rows.json")

    assert rows == [("row 0", {"a": 1})]
    assert refused == [("row 1", "broken_json")]


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('{"a": 1}\n{"a"\n')

    assert read(tmp_path / "rows.json") == ([("line 1", {"a": 1})], [("line 2", "broken_json")])


@pytest.mark.parametrize("text", ["", "id,image\n", "7"])
def test_another_file_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(text)

    with pytest.raises(InputError, match="expected a JSON array of rows, or JSON lines"):
        read(tmp_path / "rows.json")
