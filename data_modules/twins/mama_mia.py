"""The twin of MAMA-MIA: phantom breasts before and after contrast, with segmented lesions."""

import math
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from numpy.random import default_rng

from data_modules.mama_mia import SPLIT_FILE, SPLITS
from data_modules.mama_mia_masks import FOLDER
from data_modules.mama_mia_sheet import COLUMNS, DATASETS, FILE, SHEET
from data_modules.phantoms import Factors, design
from data_modules.twins.volumes import CODES, SIZE_PX, SPACING_MM, draw_volume, write_volume
from semihvision.core.files import write_text_atomically

Row = dict[str, str]

_SUBTYPES = ("luminal", "triple_negative", "her2_pure")
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes patients with three to five phases and a segmentation each, the sheet, and splits.

    Lesions lie apart in their slices and grow brighter with every phase. Every second patient is
    named in lower case on the disk and stored along other axes.

    Args:
        root: Folder to write to.
        cases: Number of patients.
        seed: Decides everything.
    """
    write_tables(root, draw_patients(root, cases, seed))


def draw_patients(root: Path, cases: int, seed: int) -> list[Row]:
    """Draws the volumes of all patients and returns their rows of the sheet."""
    random = default_rng([seed, 8])
    rows = []
    for index, factors in enumerate(design(cases, random, ("breasts",))):
        dataset = DATASETS[index % len(DATASETS)]
        patient, num_phases = f"{dataset}_{index + 1:03d}", 3 + index % 3
        name = patient.lower() if index % 2 else patient
        _draw(root, patient, name, factors, [seed, 8, index], num_phases, CODES[index % 2])
        rows.append(_row(patient, dataset, index, num_phases))
    return rows


def _draw(
    root: Path,
    patient: str,
    name: str,
    factors: Factors,
    seed: list[int],
    num_phases: int,
    code: str,
) -> None:
    plain, _ = draw_volume(factors._replace(number=0), seed)
    full, boxes = draw_volume(factors, seed)
    inside = np.zeros(full.shape, dtype=bool)
    for (x0, y0, z0), (x1, y1, z1) in boxes:
        inside[x0:x1, y0:y1, z0:z1] = True
    # A lesion is what is far brighter inside its box than the same breast without it.
    marked = inside & (full > plain.astype(int) + 40)
    for phase in range(num_phases):
        share = phase / (num_phases - 1)
        shown = np.where(marked, plain + share * (full.astype(float) - plain), plain)
        path = root / "images" / patient / f"{name}_{phase:04d}.nii.gz"
        write_volume(path, np.rint(shown).astype(np.uint8), code)
    write_volume(root / FOLDER / f"{name}.nii.gz", marked.astype(np.uint8), code)


def _row(patient: str, dataset: str, index: int, num_phases: int) -> Row:
    said = {
        "patient_id": patient, "dataset": dataset, "bilateral_breast_cancer": 0,
        "multifocal_cancer": index % 2, "pcr": index % 2, "hr": 1 - index % 2, "er": 1 - index % 2,
        "pr": 0, "her2": index % 3 // 2, "nottingham_grade": ("low", "high")[index % 2],
        "tumor_subtype": _SUBTYPES[index % 3], "age": f"{30 + index % 50}.0",
        "menopause": "pre (<6 months since LMP AND not on estrogen replacement)",
        "has_implant": 0, "view": "axial", "bilateral_mri": 1, "num_phases": num_phases,
        "fat_suppressed": 1, "field_strength": 1.5, "image_rows": SIZE_PX,
        "image_columns": SIZE_PX, "num_slices": 8, "pixel_spacing": str(list(SPACING_MM[:2])),
        "slice_thickness": SPACING_MM[2], "manufacturer": "none, drawn",
        "acquisition_times": str([90 * phase for phase in range(num_phases)]),
        "acquisition_date": "" if index % 2 else f"1984/10/{1 + index % 28:02d}",
    }  # fmt: skip
    return {name: str(value) for name, value in said.items()}


def write_tables(root: Path, rows: list[Row]) -> None:
    """Writes the sheet, and the table of splits: every fifth patient is a test patient."""
    write_workbook(
        root / FILE, [list(COLUMNS), *([row.get(c, "") for c in COLUMNS] for row in rows)]
    )
    ids = list(dict.fromkeys(row["patient_id"] for row in rows))
    train, test = [name for k, name in enumerate(ids) if k % 5 != 4], ids[4::5]
    padded = [*test, *[""] * (len(train) - len(test))]
    lines = [f"{a},{b}\n" for a, b in zip(train, padded, strict=True)]
    write_text_atomically(root / SPLIT_FILE, ",".join(SPLITS) + "\n" + "".join(lines))


def write_workbook(path: Path, rows: list[list[str]], *, sheet: str = SHEET) -> None:
    """Writes an Excel workbook with one sheet: numbers as numbers, texts in the shared table."""
    shared: dict[str, int] = {}
    body = "".join(
        f'<row r="{number}">{_cells(number, row, shared)}</row>'
        for number, row in enumerate(rows, start=1)
    )
    texts = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in shared)
    spreadsheet = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    kinds = {
        "/xl/workbook.xml": f"{spreadsheet}.sheet.main+xml",
        "/xl/worksheets/sheet1.xml": f"{spreadsheet}.worksheet+xml",
        "/xl/sharedStrings.xml": f"{spreadsheet}.sharedStrings+xml",
    }
    overrides = "".join(f'<Override PartName="{p}" ContentType="{t}"/>' for p, t in kinds.items())
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{overrides}</Types>',
        "_rels/.rels": _relations({"officeDocument": "xl/workbook.xml"}),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet '
        f'name="{escape(sheet)}" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations(
            {"worksheet": "worksheets/sheet1.xml", "sharedStrings": "sharedStrings.xml"}
        ),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData>'
        "</worksheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{texts}</sst>',
    }
    with ZipFile(path, "w", ZIP_DEFLATED) as book:
        for name, text in parts.items():
            # A fixed date keeps the bytes the same for the same seed.
            book.writestr(ZipInfo(name, (1980, 1, 1, 0, 0, 0)), _XML + text, ZIP_DEFLATED)


def _relations(targets: dict[str, str]) -> str:
    lines = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets.items(), start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{lines}</Relationships>'


def _cells(number: int, row: list[str], shared: dict[str, int]) -> str:
    made = []
    for column, text in enumerate(row):
        place = f"{_letters(column)}{number}"
        if _is_number(text):
            made.append(f'<c r="{place}"><v>{text}</v></c>')
        elif text:
            index = shared.setdefault(text, len(shared))
            made.append(f'<c r="{place}" t="s"><v>{index}</v></c>')
    return "".join(made)


def _letters(column: int) -> str:
    first, last = divmod(column, 26)
    return (chr(ord("A") + first - 1) if first else "") + chr(ord("A") + last)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
