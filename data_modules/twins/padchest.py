"""The twin of PadChest: drawn chest radiographs with Spanish reports in the owners' table."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from PIL import Image

from data_modules.padchest_rows import COLUMNS, TABLE
from data_modules.phantoms import Factors, Phantom, design, draw
from semihvision.core.files import open_atomically

_BITS = 12
_SIDES = {"left": ("izquierdo", "loc left"), "right": ("derecho", "loc right")}
_NUMBERS = {1: "un nódulo", 2: "dos nódulos", 3: "tres nódulos"}

Row = dict[str, str]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes studies of drawn chest radiographs as 16-bit PNG of 12-bit values.

    Every second study has a second image, every fourth shows no nodule; every sixth is
    `MONOCHROME1`, stored inverted. Labels are lists in Python's spelling.

    Args:
        root: Folder to write to.
        cases: Number of studies, one patient each.
        seed: Decides everything.
    """
    write_table(root, [row for rows in draw_studies(root, cases, seed) for row in rows])


def draw_studies(root: Path, cases: int, seed: int) -> list[list[Row]]:
    """Draws the images of all studies and returns the rows of each."""
    random = default_rng([seed, 6])
    studies = []
    for index, drawn in enumerate(design(cases, random, ("lungs",))):
        factors = drawn._replace(number=0) if index % 4 == 3 else drawn
        inverted = index % 6 == 4
        about = {name: str(value) for name, value in _about(factors, index).items()}
        rows = []
        for view, projection in enumerate(("PA", "AP_horizontal")[: 1 + index % 2]):
            name = f"{about['StudyID']}_{view:06d}.png"
            folder = root / str(index % 3)
            folder.mkdir(parents=True, exist_ok=True)
            save(draw(factors, [seed, 6, index, view]), folder / name, inverted=inverted)
            rows.append(
                {**about, "ImageID": name, "ImageDir": folder.name, "Projection": projection}
                | {"PhotometricInterpretation_DICOM": f"MONOCHROME{1 if inverted else 2}"}
            )
        studies.append(rows)
    return studies


def save(phantom: Phantom, path: Path, *, inverted: bool = False) -> None:
    """Saves a drawing as 16-bit PNG of 12-bit values."""
    shown = 1 - phantom.pixels if inverted else phantom.pixels
    Image.fromarray(np.rint(shown * (2**_BITS - 1)).astype(np.uint16)).save(path)


def write_table(root: Path, rows: Sequence[Row]) -> None:
    """Writes the table, with its unnamed index column."""
    with open_atomically(root / TABLE) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for number, row in enumerate(rows):
            table.writerow([number, *(row.get(name, "") for name in COLUMNS[1:])])


def _about(factors: Factors, index: int) -> dict[str, object]:
    spanish, place = _SIDES[factors.side]
    report = f"dibujo sintético. {_NUMBERS.get(factors.number, '')} en pulmón {spanish}."
    labels, places = ["nodule", " suboptimal study"], [place, "loc lung field"]
    if factors.number == 0:
        report, labels, places = "dibujo sintético. sin nódulos.", ["normal"], []
    return {
        "StudyDate_DICOM": f"{2010 + index % 7}{1 + index % 12:02d}{1 + index % 28:02d}",
        "StudyID": f"9{index + 1:037d}",
        "PatientID": f"8{index + 1:037d}",
        "PatientBirth": f"{1930 + index % 60}.0",
        "PatientSex_DICOM": "FM"[index % 2],
        "MethodProjection": "Manual review of DICOM fields",
        "Pediatric": "No",
        "Modality_DICOM": "CR",
        "PixelRepresentation_DICOM": 0,
        "BitsStored_DICOM": f"{_BITS}.0",
        "WindowCenter_DICOM": f"{2 ** (_BITS - 1)}.0",
        "WindowWidth_DICOM": f"{2**_BITS}.0",
        "Rows_DICOM": 128,
        "Columns_DICOM": 128,
        "ReportID": 4000001 + index,
        "Report": report,
        "MethodLabel": ("Physician", "RNN_model")[index % 2],
        "Labels": labels,
        "Localizations": places,
        "LabelsLocalizationsBySentence": [[*labels, *places]],
        "labelCUIS": "['C0034079']" if factors.number else "[]",
        "LocalizationsCUIS": "[]",
    }
