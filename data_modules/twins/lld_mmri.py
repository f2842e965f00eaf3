"""The twin of LLD-MMRI: phantom livers in eight phases with boxes around their lesions."""

import json
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.lld_annotation import FILE
from data_modules.lld_cutouts import CLASSES, FOLDER, INACCESSIBLE, LISTS, PHASES
from data_modules.phantoms import Factors, design
from data_modules.twins.volumes import CODES, Corners, draw_volume, stored_box, write_volume
from semihvision.core.files import write_text_atomically

Patients = dict[str, list[dict[str, Any]]]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes patients with eight volumes each, boxes on all of them, and the lists of labels.

    Every second patient is stored along other axes; every fifth is a validation patient, whose
    class the owners keep. Boxes are `3D_box`; with every third patient `2D_box` stands beside it.

    Args:
        root: Folder to write to.
        cases: Number of patients.
        seed: Decides everything.
    """
    write_tables(root, draw_patients(root, cases, seed))


def draw_patients(root: Path, cases: int, seed: int) -> Patients:
    """Draws the volumes of all patients and returns their entries in `Annotation.json`."""
    random = default_rng([seed, 7])
    patients: Patients = {}
    for index, factors in enumerate(design(cases, random, ("liver",))):
        patient, study = f"MR{300001 + index}", f"1.2.826.{index}"
        patients[patient] = [
            _draw_series(root / "images" / patient, study, index, number, factors, seed)
            for number in range(len(PHASES))
        ]
    return patients


def _draw_series(
    folder: Path, study: str, index: int, number: int, factors: Factors, seed: int
) -> dict[str, Any]:
    uid, code = f"{study}.{number}", CODES[index % 2]
    lps, boxes = draw_volume(factors, [seed, 7, index], gain=1 - 0.07 * number)
    write_volume(folder / study / f"{uid}.nii.gz", lps, code)
    category = INACCESSIBLE if _is_validation(index) else CLASSES[index % len(CLASSES)]
    lesions = {
        str(k): {"category": category, "bbox": _bbox(stored_box(box, code), flat=index % 3 == 2)}
        for k, box in enumerate(boxes)
    }
    return {
        "studyUID": study,
        "seriesUID": uid,
        "phase": PHASES[number],
        "pixel_spacing": [3.0, 3.0],
        "slice_thickness": 5.0,
        "annotation": {"lesion": lesions},
    }


def write_tables(root: Path, patients: Patients, *, extra: str = "") -> None:
    """Writes `Annotation.json` and the lists of labels.

    Args:
        root: Folder of the twin.
        patients: Entries by patient.
        extra: Further text before the end of the patients.
    """
    text = json.dumps({"Annotation_info": patients}, indent=1)
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(root / FILE, text.removesuffix("\n }\n}") + extra + "\n }\n}")
    lines: dict[str, list[str]] = {name: [] for name in LISTS}
    for index, patient in enumerate(patients):
        name = tuple(LISTS)[_is_validation(index)]
        number = -1 if _is_validation(index) else index % len(CLASSES)
        lines[name].append(f"{patient} {number}\n")
    for name, rows in lines.items():
        write_text_atomically(root / FOLDER / "labels" / name, "".join(rows))


def _is_validation(index: int) -> bool:
    return index % 5 == 4


def _bbox(box: Corners, *, flat: bool) -> dict[str, Any]:
    (x0, y0, z0), (x1, y1, z1) = box
    plane = {"x_min": x0, "y_min": y0, "x_max": x1, "y_max": y1}
    bbox: dict[str, Any] = {"3D_box": {**plane, "z_min": z0, "z_max": z1 - 1}}
    if flat:
        bbox["2D_box"] = [{**plane, "slice_idx": z} for z in range(z0, z1)]
    return bbox
