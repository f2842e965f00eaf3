"""MIMIC-CXR's twin with quirks and planted faults."""

import codecs
import gzip
from pathlib import Path

from data_modules.mimic_cxr import study_folder
from data_modules.mimic_tables import table_names
from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.mimic_cxr import Row, Tables, draw_studies, write_tables
from data_modules.twins.planting import IMAGE_FAULTS

_METADATA, _SPLIT = table_names("metadata")[0], table_names("split")[0]
_LABELS = table_names("chexpert")[1], table_names("negbio")[1]

_CELLS = {
    "path outside of the root": ("dicom_id", "../../../outside"),
    "NaN patient": ("subject_id", "nan"),
    "folder outside of the root": ("study_id", "../50000001"),
    "date in another form": ("StudyDate", "2180-05-06"),
}
"""Fault of a row of metadata -> column and cell."""

_QUIRKS = (
    "byte order mark", "addendum", "carriage returns in a report", "misspelt head",
    "section twice", "labels uncertain and absent", "table packed by gzip",
)  # fmt: skip

Study = list[Row]


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound studies, quirks, and one study for each fault; units are images."""
    # Every second study has two images: one is left where the other is spoilt.
    total = cases + 2 * (2 + len(_CELLS) + len(IMAGE_FAULTS) + 8)
    tables = draw_studies(root, total, seed)
    studies = _by_study(tables.metadata)
    spare = iter([study for study in studies[cases:] if len(study) == 2])
    _make_quirky(root, next(spare), next(spare), tables)
    planted: list[Planted] = []
    numbers = {row["dicom_id"]: line for line, row in enumerate(tables.metadata, start=2)}
    for fault, (column, cell) in _CELLS.items():
        row = next(spare)[0]
        item = f"line {numbers[row['dicom_id']]}"
        planted.append(Planted(fault, item, "invalid_row", _METADATA))
        row[column] = cell
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)[0]
        file = f"{_folder(row)}/{row['dicom_id']}.jpg"
        spoil(root / file)
        planted.append(Planted(fault, f"image {row['dicom_id']}", kind, file))
    planted += _spoil_reports(root, next(spare), next(spare), next(spare))
    planted += _spoil_tables(tables, [next(spare) for _ in range(4)])
    found = len(tables.metadata)
    write_tables(root, tables)
    planted += _spoil_lines(root, next(spare))
    return FaultyTwin(tuple(planted), "images", found, _QUIRKS)


def _by_study(metadata: list[Row]) -> list[Study]:
    studies: dict[str, Study] = {}
    for row in metadata:
        studies.setdefault(row["study_id"], []).append(row)
    return list(studies.values())


def _folder(row: Row) -> str:
    return study_folder(row["subject_id"], row["study_id"])


def _make_quirky(root: Path, first: Study, second: Study, tables: Tables) -> None:
    report = root / f"{_folder(first[0])}.txt"
    text = " FINDINGS:  Old.\n \n ______________\n ADDENDUM:  None.\n \n FINDINGS:  New.\n"
    report.write_bytes(f"FINAL REPORT\n{text}".replace("\n", "\r\n").encode())
    report = root / f"{_folder(second[0])}.txt"
    report.write_text("FINAL REPORT\n IMPRESION:  A phantom.\n", encoding="utf-8")
    for row in tables.labels:
        if row["study_id"] == second[0]["study_id"]:
            row |= {"Edema": "-1.0", "Fracture": "0.0"}


def _spoil_reports(root: Path, missing: Study, latin: Study, linked: Study) -> list[Planted]:
    planted = []
    for fault, study, kind in (
        ("missing report", missing, "missing_report"),
        ("Latin-1 report", latin, "unreadable_report"),
        ("report out of the root", linked, "path_outside_root"),
    ):
        file = f"{_folder(study[0])}.txt"
        (root / file).unlink()
        item = f"report {study[0]['study_id']}"
        planted.append(Planted(fault, item, kind, file, 0))
    (root / f"{_folder(latin[0])}.txt").write_bytes(b" FINDINGS:  \xe9.\n")
    (root / f"{_folder(linked[0])}.txt").symlink_to("/outside-of-the-root/report.txt")
    return planted


def _spoil_tables(tables: Tables, studies: list[Study]) -> list[Planted]:
    """Faults of whole studies, of a label and of a repeated row; each study has two images."""
    unknown, unsplit, torn, labelled = studies
    ids = {row["dicom_id"]: row for row in tables.splits}
    for row in unknown:
        ids[row["dicom_id"]]["split"] = "dev"
    tables.splits.remove(ids[unsplit[0]["dicom_id"]])
    torn[0]["subject_id"] = "19999999"
    planted = [
        Planted(fault, f"study {study[0]['study_id']}", kind, _METADATA, 2)
        for fault, study, kind in (
            ("unknown split", unknown, "invalid_row"),
            ("in no split", unsplit, "no_split"),
            ("one study, two patients", torn, "contradicting_rows"),
        )
    ]
    for line, row in enumerate(tables.labels, start=2):
        if row["study_id"] == labelled[0]["study_id"]:
            row["Edema"] = "nan"
            planted += [Planted("NaN label", f"line {line}", "invalid_row", n, 0) for n in _LABELS]
    tables.metadata.append(dict(labelled[0]))
    item = f"line {len(tables.metadata) + 1}"
    return [*planted, Planted("image twice", item, "repeated_id", _METADATA)]


def _spoil_lines(root: Path, latin: Study) -> list[Planted]:
    """Broken lines at the end of metadata and splits, one letter in Latin-1, byte order marks."""
    data = (root / _METADATA).read_bytes()
    start = data.index(latin[0]["dicom_id"].encode())
    number = data[:start].count(b"\n") + 1
    line = data[start : data.index(b"\n", start)]
    data = data.replace(line, line.replace(b",,", b",\xe9,", 1))
    planted = [Planted("Latin-1", f"line {number}", "encoding", _METADATA)]
    (root / _METADATA).write_bytes(codecs.BOM_UTF8 + data)
    split = (root / _SPLIT).read_bytes() + b"a-1;5;1;train\na-1,5,1\n"
    last = split.count(b"\n")
    planted.append(Planted("another delimiter", f"line {last - 1}", "broken_row", _SPLIT, 0))
    planted.append(Planted("cell missing", f"line {last}", "broken_row", _SPLIT, 0))
    (root / _SPLIT).unlink()
    (root / f"{_SPLIT}.gz").write_bytes(gzip.compress(split, mtime=0))
    return [one._replace(file=f"{_SPLIT}.gz") if one.file == _SPLIT else one for one in planted]
