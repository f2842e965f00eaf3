"""Tables of owners with any cell exchanged: refused or read, but never quoted and never a crash."""

import codecs
import csv
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from data_modules.twins.folder_faults import write_faults as write_folder
from semihvision.core.card import CARD_MODULES
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

SECRET = "Patient Schmidt, geb. 1950"
CELLS: tuple[Any, ...] = (SECRET, [SECRET], {SECRET: SECRET}, None, float("nan"), -1, True, "")
"""What a damaged table may hold in any cell."""


class Table(NamedTuple):
    """A table of a source's twin."""

    source: str
    file: str
    delimiter: str = ","


TABLES = (
    Table("pmc_vqa", "train.csv"),
    Table("pmc_vqa", "train_2.csv"),
    Table("pmc_instruct", "release.json"),
    Table("quilt_1m", "quilt_1M_lookup.csv"),
    Table("llava_med", "alignment/llava_med_alignment_500k.json"),
    Table("llava_med", "instruct/llava_med_instruct_10k.json"),
    Table("radiopaedia", "radiopaedia.csv"),
    Table("pubmedvision", "PubMedVision_Alignment_VQA.json"),
    Table("open_guidelines", "open_guidelines.jsonl"),
    Table("jama", "jama.jsonl"),
    Table("eurorad", "cases.jsonl"),
    Table("folder", "Studien.csv", ";"),
    Table("padchest", "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"),
    Table("mimic_cxr", "mimic-cxr-2.0.0-metadata.csv"),
    Table("mimic_cxr", "mimic-cxr-2.0.0-split.csv"),
    Table("mama_mia", "train_test_splits.csv"),
)
CSV = [table for table in TABLES if table.file.endswith(".csv")]
JSON = [table for table in TABLES if not table.file.endswith(".csv")]


def written(table: Table, root: Path) -> Path:
    if table.source == "folder":
        write_folder(root, cases=4, seed=1)
    else:
        import_module(CARD_MODULES[table.source]).write_twin(root, cases=4, seed=1)
    return root


def read(table: Table, root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(import_module(CARD_MODULES[table.source]).read(root, refused)), refused


def rows_of(path: Path, table: Table) -> list[Any]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if path.suffix == ".csv":
        return list(csv.reader(text.splitlines(), delimiter=table.delimiter))
    return json.loads(text) if path.suffix == ".json" else list(map(json.loads, text.splitlines()))


def write_rows(path: Path, rows: list[Any], table: Table) -> None:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, delimiter=table.delimiter).writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ids(table: Table) -> str:
    return f"{table.source}-{table.file.rpartition('/')[2]}"


@pytest.mark.parametrize("table", TABLES, ids=ids)
def test_no_cell_is_ever_quoted(
    table: Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(table, tmp_path) / table.file
    rows = rows_of(path, table)
    first = 1 if path.suffix == ".csv" else 0
    keys = range(len(rows[0])) if path.suffix == ".csv" else list(rows[0])
    for key in keys:
        for cell in CELLS:
            damaged = [*rows]
            damaged[first] = rows[first].copy()
            damaged[first][key] = cell
            write_rows(path, damaged, table)
            said = RefusalLog()
            try:
                _, said = read(table, tmp_path)
            except InputError as error:
                said.add("", reason=str(error), kind="")
            for item in said.items:
                assert "Schmidt" not in item.item + item.reason + item.file, (key, cell)
    assert "Schmidt" not in caplog.text


@pytest.mark.parametrize("table", CSV, ids=ids)
@pytest.mark.parametrize("damage", ["no column", "delimiter", "empty", "utf-16"])
def test_a_table_that_cannot_be_used_says_so(table: Table, damage: str, tmp_path: Path) -> None:
    path = written(table, tmp_path) / table.file
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    header, _, rest = text.partition("\n")
    broken: dict[str, Callable[[], bytes]] = {
        "no column": lambda: f"{header.replace(table.delimiter, '_', 1)}\n{rest}".encode(),
        "delimiter": lambda: text.replace(table.delimiter, "\t").encode(),
        "empty": lambda: b"",
        "utf-16": lambda: text.encode("utf-16"),
    }
    path.write_bytes(broken[damage]())
    message = ""
    try:
        message = "; ".join(item.reason for item in read(table, tmp_path)[1].items)
    except InputError as error:
        message = str(error)

    assert "no column" in message or "unreadable table" in message
    assert "separated by" in message


@pytest.mark.parametrize("table", TABLES, ids=ids)
def test_a_byte_order_mark_changes_nothing(table: Table, tmp_path: Path) -> None:
    path = written(table, tmp_path) / table.file
    before, _ = read(table, tmp_path)
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    path.write_bytes(codecs.BOM_UTF8 + data)

    after, _ = read(table, tmp_path)

    assert after == before != []


@pytest.mark.parametrize("table", JSON, ids=ids)
def test_a_torn_file_costs_what_is_torn(table: Table, tmp_path: Path) -> None:
    path = written(table, tmp_path) / table.file
    whole, _ = read(table, tmp_path)
    text = path.read_text(encoding="utf-8").rstrip().rstrip("]").rstrip()
    path.write_text(text[:-5], encoding="utf-8")

    rest, refused = read(table, tmp_path)

    assert len(rest) == len(whole) - 1
    assert len(refused.items) == 1
    assert refused.items[0].kind in ("broken_json", "broken_guideline")
