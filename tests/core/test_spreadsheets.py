import zipfile
from pathlib import Path

import pytest

from data_modules.twins.mama_mia import write_workbook
from semihvision.core import spreadsheets
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.spreadsheets import sheet_rows

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
PART = "xl/worksheets/sheet1.xml"


def write(path: Path, sheet_data: str, *, shared: str = "", **parts: str) -> Path:
    """A workbook with the sheet `s`, whose cells are given as XML."""
    write_workbook(path, [["a"]], sheet="s")
    with zipfile.ZipFile(path) as book:
        kept = {name: book.read(name).decode() for name in book.namelist()}
    kept[PART] = f"<worksheet {MAIN}><sheetData>{sheet_data}</sheetData></worksheet>"
    kept["xl/sharedStrings.xml"] = f"<sst {MAIN}>{shared}</sst>"
    kept |= {name: text for name, text in parts.items() if text}
    with zipfile.ZipFile(path, "w") as book:
        for name, text in kept.items():
            book.writestr(name, text)
    return path


def rows(path: Path, *columns: str) -> tuple[list[tuple[int, dict[str, str]]], RefusalLog]:
    refused = RefusalLog()
    return list(sheet_rows(path, "s", columns, refused)), refused


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cells = [["id", "b & c", *(f"c{k}" for k in range(30))], ["x<1>", "0.5", *[""] * 29, "é"]]
    write_workbook(tmp_path / "t.xlsx", [*cells, ["", ""], ["y", "7"]], sheet="s")

    found, refused = rows(tmp_path / "t.xlsx", "id", "b & c")

    assert refused.items == []
    assert [number for number, _ in found] == [2, 4]
    assert found[0][1] == dict(zip(*cells, strict=True))
    assert found[1][1]["c29"] == ""


def test_all_kinds_of_cells_and_gaps(tmp_path: Path) -> None:
    header = "".join(f'<c r="{x}1" t="inlineStr"><is><t>{x}</t></is></c>' for x in "ABCDEF")
    path = write(
        tmp_path / "t.xlsx",
        f'<row r="1">{header}</row><row r="5"><c r="B5" t="s"><v>1</v></c><c r="D5" t="b">'
        '<v>1</v></c><c r="E5" t="e"><v>#N/A</v></c><c r="F5"><f>1+1</f><v>2</v></c></row>'
        "<row><c><v>1e-7</v></c><c t='str'><f>x</f><v>text</v></c></row>",
        shared="<si><t>no</t></si><si><r><t>rich </t></r><r><t>text</t></r></si>",
    )

    found, _ = rows(path, *"ABCDEF")

    assert [(number, "|".join(row.values())) for number, row in found] == [
        (5, "|rich text||1||2"),
        (3, "1e-7|text||||"),
    ]


def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path: Path) -> None:
    write_workbook(tmp_path / "t.xlsx", [["a"], ["1", "2"], ["3"]], sheet="s")

    found, refused = rows(tmp_path / "t.xlsx", "a")

    assert found == [(3, {"a": "3"})]
    assert [(i.item, i.kind, i.file) for i in refused.items] == [("row 2", "broken_row", "t.xlsx")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("a", "b"), "column b not there or there twice; found a first row of 3 cells"),
        (("c",), "column c not there or there twice"),
    ],
)
def test_a_missing_or_repeated_column_is_an_error(
    columns: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    write_workbook(tmp_path / "t.xlsx", [["a", "c", "c"], ["1", "2", "3"]], sheet="s")

    with pytest.raises(InputError, match=message):
        rows(tmp_path / "t.xlsx", *columns)


def test_another_sheet_is_an_error(tmp_path: Path) -> None:
    write_workbook(tmp_path / "t.xlsx", [["a"]], sheet="Sheet1")

    with pytest.raises(InputError, match="no sheet s among its 1"):
        rows(tmp_path / "t.xlsx", "a")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"patient_id,dataset\n",
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"xl/worksheets/sheet1.xml", b"xl/worksheets/sheet2.xml"),
    ],
)
def test_damaged_workbooks_are_errors(spoil: object, tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    write_workbook(path, [["a"], ["1"]], sheet="s")
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]

    with pytest.raises(InputError, match="no workbook that can be read"):
        rows(path, "a")


def test_wrong_places_of_shared_texts_are_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", '<row r="1"><c r="A1" t="s"><v>9</v></c></row>')

    with pytest.raises(InputError, match=r"no workbook that can be read \(its content"):
        rows(path, "a")


def test_exploding_entities_and_sizes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><sst>&a;</sst>'
    path = write(tmp_path / "t.xlsx", "", **{"xl/sharedStrings.xml": bomb})
    with pytest.raises(InputError, match="document type"):
        rows(path, "a")

    monkeypatch.setattr(spreadsheets, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="at most 100 are read"):
        rows(path, "a")
