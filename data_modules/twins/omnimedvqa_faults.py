"""OmniMedVQA's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin, Planted, link_out
from data_modules.twins.omnimedvqa import ACCESS, DATASETS, Row, draw_rows, write_restricted
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, plant_questions, write_array
from semihvision.core.files import write_text_atomically

_FIELDS: dict[str, tuple[str, Any, str]] = {
    "no question": ("question", " ", "invalid_row"),
    "NaN answer": ("gt_answer", float("nan"), "invalid_row"),
    "answer of no option": ("gt_answer", "the spleen", "answer"),
    "option that is a number": ("option_B", 7, "invalid_row"),
    "path outside of the root": ("image_path", "../../1.png", "path_outside_root"),
    "absolute path": ("image_path", "/1.png", "path_outside_root"),
    "text instead of a path": ("image_path", "Seen on CT: a mass", "unusable_path"),
    "Latin-1": ("question", LATIN_1, "encoding"),
}
"""Fault of a question -> field, value, kind."""

_QUIRKS = ("byte order mark", "`modality` instead of `modality_type`", "three options")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound images, quirks, an image or a question for each fault; questions."""
    needed = len(_FIELDS) + len(IMAGE_FAULTS) + 2
    rows = draw_rows(root, cases + 2 * needed, seed)
    first, second = DATASETS
    sheet = Sheet(f"{first}.json", place="row", first=0)
    images: dict[str, list[Row]] = {}
    for row in rows[first]:
        images.setdefault(row["image_path"], []).append(row)
    asked = list(images.values())
    for about_one in asked[:-needed]:
        for row in about_one:
            sheet.add(row)
    spare = iter(asked[-needed:])
    plant_questions(sheet, spare, _FIELDS, lambda row: root / row["image_path"], needed="gt_answer")
    quirk = rows[second][0]
    quirk["modality"] = quirk.pop("modality_type")
    right = quirk["gt_answer"]
    quirk.pop(next(name for name in ("option_C", "option_D") if quirk[name] != right))
    write_array(root / ACCESS / sheet.file, sheet.rows, bom=True)
    write_array(root / ACCESS / f"{second}.json", rows[second])
    write_restricted(root)
    found = len(sheet.rows) + len(rows[second])
    return FaultyTwin((*sheet.planted, *_unusable(root)), "qa", found, _QUIRKS)


def _unusable(root: Path) -> list[Planted]:
    """Files beside the usable ones; what stands in them was never counted."""
    write_text_atomically(root / ACCESS / "Table.json", "question_id,question\n1,x\n")
    link_out(root / ACCESS / "Linked.json")
    return [
        Planted("CSV in place of JSON", "Table.json", "unusable_table", "Table.json", 0),
        Planted("link out of the root", "Linked.json", "path_outside_root", "Linked.json", 0),
    ]
