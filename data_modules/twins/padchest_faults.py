"""PadChest's twin with quirks and planted faults."""

import codecs
from pathlib import Path

from data_modules.padchest_images import KNOWN_CORRUPT
from data_modules.padchest_rows import SPELLINGS, TABLE
from data_modules.twins.faults import FaultyTwin, truncate
from data_modules.twins.padchest import Row, draw_studies, write_table
from data_modules.twins.planting import IMAGE_FAULTS, Sheet

_LATIN_1 = "codificación de otro tipo"

_CELLS: dict[str, tuple[str, str, str]] = {
    "no patient": ("PatientID", "nan", "invalid_row"),
    "path outside of the root": ("ImageID", "../../x.png", "invalid_row"),
    "folder outside of the root": ("ImageDir", "../..", "invalid_row"),
    "date in another form": ("StudyDate_DICOM", "02/01/2019", "invalid_row"),
    "no such day": ("StudyDate_DICOM", "20190231", "invalid_row"),
    "birth in another form": ("PatientBirth", "1 May 1930", "invalid_row"),
    "labels that are no list": ("Labels", "['pneumonia'", "invalid_row"),
    "labels that are code": ("Labels", "__import__('os').getcwd()", "invalid_row"),
    "localizations of numbers": ("Localizations", "[1, 2]", "invalid_row"),
    "NaN among the labels": ("Labels", "[nan, 'normal']", "invalid_row"),
    "half a window": ("WindowWidth_DICOM", "", "invalid_row"),
    "Latin-1": ("Report", _LATIN_1, "encoding"),
}
"""Fault of a row -> column, cell, kind."""

_QUIRKS = (
    "byte order mark", "headers as in the owners' README", "Labels NaN or ['']", "no report",
    "no birth", "window of several values", "MONOCHROME1", "16 bits used", "accents in UTF-8",
)  # fmt: skip


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound studies, quirks, and one study for each fault; units are images."""
    studies = draw_studies(root, cases + 4 + len(_CELLS) + len(IMAGE_FAULTS) + 4, seed)
    quirky, faulty = studies[cases : cases + 4], iter(studies[cases + 4 :])
    _make_quirky([rows[0] for rows in quirky])
    sheet = Sheet(TABLE)
    for study in studies[: cases + 4]:
        for row in study:
            sheet.add(row)
    for fault, (column, cell, kind) in _CELLS.items():
        sheet.add({**next(faulty)[0], column: cell}, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row, *others = next(faulty)
        spoil(root / row["ImageDir"] / row["ImageID"])
        sheet.add(row, fault, kind)
        for other in others:
            sheet.add(other)
    twice, corrupt, first, second = (study[0] for study in faulty)
    sheet.add(twice)
    sheet.add(twice, "ImageID twice", "repeated_id")
    sheet.add(_as_known(root, corrupt), "known corrupt file", "known_corrupt")
    for row in (first, {**second, "StudyID": first["StudyID"]}):
        sheet.add(row, "one study, two patients", "contradicting_rows")
    write_table(root, sheet.rows)
    _spoil_text(root / TABLE)
    return FaultyTwin(tuple(sheet.planted), "images", len(sheet.rows), _QUIRKS)


def _make_quirky(rows: list[Row]) -> None:
    rows[0] |= {"Labels": "nan", "Localizations": "['']", "Report": ""}
    rows[1] |= {"Labels": "['']", "PatientBirth": "", "WindowCenter_DICOM": "[2048.0, 2000.0]"}
    rows[2] |= {
        "Labels": "['nodule ', ' nodule']",
        "WindowCenter_DICOM": "",
        "WindowWidth_DICOM": "",
    }
    rows[3] |= {"BitsStored_DICOM": "10"}


def _as_known(root: Path, row: Row) -> Row:
    """Renames an image to one of the known corrupt files, and cuts it."""
    name = min(KNOWN_CORRUPT)
    folder = root / row["ImageDir"]
    path = (folder / row["ImageID"]).rename(folder / name)
    truncate(path)
    return {**row, "ImageID": name}


def _spoil_text(table: Path) -> None:
    """Gives the table a byte order mark, the README's headers, and one cell in Latin-1."""
    data = table.read_bytes().replace(_LATIN_1.encode(), _LATIN_1.encode("latin-1"))
    header, _, rest = data.partition(b"\n")
    names = {theirs: ours for ours, theirs in SPELLINGS.items()}
    spelt = ",".join(names.get(name, name) for name in header.decode().split(","))
    table.write_bytes(codecs.BOM_UTF8 + spelt.encode() + b"\n" + rest)
