from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.cells import MAX_CHARS, image_of_cell, literal, text_list
from semihvision.core.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES))
def test_what_python_writes_is_read_back(value: list[object]) -> None:
    assert literal(repr(value)) == value


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "None"])
def test_an_empty_cell_is_nothing(cell: str) -> None:
    assert literal(cell) is None
    assert text_list(cell) == []


def test_blank_and_missing_entries_are_left_out() -> None:
    assert text_list("[' Lung ', '', 'nan', 'Breast']") == ["Lung", "Breast"]


@pytest.mark.parametrize(
    "cell",
    [
        "__import__('os').getcwd()",
        "[x for x in 'abc']",
        "[" * 50_000,
        "[" * 900 + "]" * 900,
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 50_000 + "1",
        "1" + "+1" * 20_000,
        "1" + ".a" * 20_000,
        "['unclosed",
        "{[]: 1}",
        "'" + "x" * MAX_CHARS + "'",
        "\x00",
        "9" * 5000,
    ],
)
def test_nothing_runs_and_nothing_is_quoted(cell: str) -> None:
    with pytest.raises(InputError) as raised:
        text_list(cell)
    assert raised.value.kind == "invalid_row"
    assert cell[:6] not in str(raised.value)


def test_a_backslash_that_escapes_nothing_is_no_error() -> None:
    assert text_list(r"['T2\*']") == [r"T2\*"]


@pytest.mark.parametrize("cell", ["{'a': 1}", "[1]", "'a'", "[['a']]"])
def test_another_kind_of_value_is_no_list_of_texts(cell: str) -> None:
    with pytest.raises(InputError, match="list of texts"):
        text_list(cell)


def test_a_cell_that_is_no_path_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file name") as raised:
        image_of_cell(tmp_path, "A man: fever, 40 years.\nNo finding", image_id="image")
    assert (raised.value.kind, "fever" in str(raised.value)) == ("unusable_path", False)
    with pytest.raises(InputError, match=r"a/b\.png: no such image"):
        image_of_cell(tmp_path, "a/b.png", image_id="image")
    with pytest.raises(InputError) as outside:
        image_of_cell(tmp_path, "../b.png", image_id="image")
    assert outside.value.kind == "path_outside_root"
