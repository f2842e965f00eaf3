import csv
from itertools import zip_longest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semihvision.core import columnar
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.long_cells import long_cell, long_rows

LONG = "x" * 200_000


def test_a_cell_of_every_part_is_found_by_its_number(tmp_path: Path) -> None:
    table = pa.table({"name": [str(n) for n in range(11)], "value": list(range(11))})
    parquet, arrow = tmp_path / "t.parquet", tmp_path / "t.arrow"
    pq.write_table(table, parquet, row_group_size=4)
    with pa.OSFile(str(arrow), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    for path, size in ((parquet, 4), (arrow, 3)):
        found = list(columnar.table_rows(path, ["name"], also=["absent"]))
        assert [place.number for place, _ in found] == list(range(11))
        assert [(place.part, place.row) for place, _ in found] == [
            divmod(number, size) for number in range(11)
        ]
        for number in (10, 0, 5, 4, 3):
            assert columnar.cell(path, number, "value") == number
            assert columnar.cell(path, number, "name") == str(number)
        for number, column in ((11, "name"), (0, "absent")):
            with pytest.raises(InputError, match="no column"):
                columnar.cell(path, number, column)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    for name in ("t.parquet", "t.arrow"):
        path = tmp_path / name
        path.write_bytes(b"SECRET" * 9)
        with pytest.raises(InputError, match=r"unreadable table \(it is no Parquet") as caught:
            list(columnar.table_rows(path, ["x"]))
        assert "SECRET" not in str(caught.value)


def write(path: Path, rows: list[list[str]], *, mark: str = "") -> Path:
    with path.open("w", newline="") as stream:
        stream.write(mark)
        csv.writer(stream, delimiter="\t").writerows(rows)
    return path


def test_long_cells_are_read_in_turn_and_again(tmp_path: Path) -> None:
    """Two readers that take turns, and a look at single cells between, as `prepare` does."""
    limit = csv.field_size_limit()
    rows = [["index", "image"], *([str(n), f"{n}\n{LONG}" if n % 2 else "é"] for n in range(5))]
    path = write(tmp_path / "t.tsv", rows, mark="\ufeff")
    one, other = (long_rows(path, ["index", "image"], RefusalLog()) for _ in range(2))

    seen = []
    for (line, row), (same, _) in zip_longest(one, other):
        assert line == same
        assert csv.field_size_limit() == limit
        assert long_cell(path, line, "image") == row["image"]
        seen.append((line, row["index"], row["image"]))

    assert [cells[1:] for cells in seen] == [tuple(row) for row in rows[1:]]
    # Rows 1 and 3 take two lines.
    assert [line for line, *_ in seen] == [2, 4, 5, 7, 8]
    for line, column in ((3, "image"), (2, "SECRET")):
        with pytest.raises(InputError, match="no row that ends on line"):
            long_cell(path, line, column)


def test_rows_of_another_length_or_encoding_cost_themselves(tmp_path: Path) -> None:
    refused = RefusalLog()
    path = write(tmp_path / "t.tsv", [["a", "b"], ["1", LONG], ["2"], ["3", "\u00e9"], ["4", "x"]])
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), "\u00e9".encode("latin-1")))

    kept = [row["a"] for _, row in long_rows(path, ["a"], refused)]

    assert kept == ["1", "4"]
    assert [(one.item, one.kind) for one in refused.items] == [
        ("line 3", "broken_row"),
        ("line 4", "encoding"),
    ]
    with pytest.raises(InputError, match=r"no column c; tab-separated\?"):
        list(long_rows(path, ["c"], refused))


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_file_that_has_been_replaced_is_read_anew(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for texts in (["a", "b", "c"], ["d"]):
        table, new = pa.table({"name": texts}), tmp_path / "new"
        if name.endswith("parquet"):
            pq.write_table(table, new)
        else:
            with pa.OSFile(str(new), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        new.replace(path)

        assert [row["name"] for _, row in columnar.table_rows(path, ["name"])] == texts
        assert columnar.cell(path, len(texts) - 1, "name") == texts[-1]
