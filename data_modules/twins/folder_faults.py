"""A hospital's folder with a German table, quirks and planted faults."""

from pathlib import Path

from numpy.random import default_rng

from data_modules.folder import COLUMNS_FILE
from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import lesions, sentence
from data_modules.phantoms import Factors, design, draw
from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, write_csv
from semihvision.core.files import write_text_atomically

_TABLE = "Studien.csv"
_COLUMNS = ("Datei", "Patient", "Teil", "Art", "Befund")
_MAP = """\
table: Studien.csv
delimiter: ";"
image: Datei
group: Patient
split: Teil
modality: Art
texts: {report: Befund}
values:
  modality: {Roentgen: xray, CT: ct, MRT: mr}
  split: {Lernen: train, Pruefung: test}
missing: ["", nan, k.A.]
"""
_WORDS = {"xray": "Roentgen", "ct": "CT", "mr": "MRT"}
_CELLS: dict[str, tuple[str, str, str, int]] = {
    "no image": ("Datei", "", "invalid_row", 0),
    "path outside of the root": ("Datei", "../../a.png", "path_outside_root", 0),
    "absolute path": ("Datei", "/a.png", "path_outside_root", 0),
    "text instead of a path": ("Datei", "CT: kein Herd", "unusable_path", 0),
    "missing image": ("Datei", "fehlt.png", "missing_image", 0),
    "unknown modality": ("Art", "Kymogramm", "unknown_value", 1),
    "unknown split": ("Teil", "C", "unknown_value", 1),
    "text instead of a patient": ("Patient", "Frau X, geb. 1950", "invalid_row", 1),
    "Latin-1": ("Befund", LATIN_1, "encoding", 0),
}
"""Fault of a row -> column, cell, kind, images lost: without a usable path the file stays bare."""

_QUIRKS = ("semicolons", "byte order mark", "NaN and k.A.", "images that the table does not name")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes a table of sound images, quirks and faults beside faulty files; units are images."""
    spoilt = {fault: how for fault, how in IMAGE_FAULTS.items() if fault != "missing image"}
    rows = _draw(root, cases + len(_CELLS) + 2 * len(spoilt) + 4, seed)
    sheet = Sheet(_TABLE)
    for row in rows[:cases]:
        sheet.add(row)
    rows[0][_COLUMNS.index("Befund")], rows[-1][_COLUMNS.index("Teil")] = "k.A.", "nan"
    spare = iter(rows[cases:])
    for fault, (column, cell, kind, lost) in _CELLS.items():
        row = next(spare)
        row[_COLUMNS.index(column)] = cell
        sheet.add(row, fault, kind, lost)
    bare: list[Planted] = []
    for fault, (spoil, kind) in spoilt.items():
        named, unnamed = next(spare), next(spare)[0]
        spoil(root / named[0])
        sheet.add(named, fault, kind)
        spoil(root / unnamed)
        bare.append(Planted(f"{fault}, bare", unnamed, kind, unnamed))
    short, joined, twice, _unnamed = spare
    sheet.add(";".join(short[:-1]), "cell missing", "broken_row", lost=0)
    sheet.add(",".join(joined), "another delimiter", "broken_row", lost=0)
    sheet.add(twice)
    sheet.add(twice, "row twice", "repeated_id", lost=0)
    (root / "scan.nii.gz").write_bytes(b"\x1f\x8b")
    bare.append(Planted("a volume", "scan.nii.gz", "image_format", "scan.nii.gz"))
    write_csv(root / _TABLE, _COLUMNS, sheet.rows, bom=True, delimiter=";")
    write_text_atomically(root / COLUMNS_FILE, _MAP)
    return FaultyTwin((*sheet.planted, *bare), "images", len(rows) + 1, _QUIRKS)


def _draw(root: Path, cases: int, seed: int) -> list[list[str]]:
    """Draws one image a patient and returns the table's rows."""
    random = default_rng([seed, 17])
    (root / "bilder").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, factors in enumerate(design(cases, random)):
        path = f"bilder/{index:04d}.png"
        draw(factors, [seed, 17, index]).image().save(root / path)
        rows.append([path, *_cells(index, factors)])
    return rows


def _cells(index: int, factors: Factors) -> tuple[str, ...]:
    split = "Pruefung" if index % 4 == 3 else "Lernen"
    words = _WORDS[ORGANS[factors.organ].modality]
    return f"P{index + 1}", split, words, sentence(lesions(factors))
