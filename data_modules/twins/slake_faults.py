"""SLAKE's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.slake import IMAGES, SPLIT_FILES
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, plant_questions, write_array
from data_modules.twins.slake import draw_images

_FIELDS: dict[str, tuple[str, Any, str]] = {
    "no question": ("question", " ", "invalid_row"),
    "NaN answer": ("answer", float("nan"), "invalid_row"),
    "unknown answer type": ("answer_type", "YES/NO", "invalid_row"),
    "unknown language": ("q_lang", "de", "invalid_row"),
    "unknown modality": ("modality", "PET", "invalid_row"),
    "id that is text": ("qid", "12", "invalid_row"),
    "Latin-1": ("question", LATIN_1, "encoding"),
}
"""Fault of a question -> field, value, kind."""

_PATHS = {
    "path outside of the root": "../../../source.jpg",
    "absolute path": "/source.jpg",
}
Row = dict[str, Any]
_QUIRKS = ("byte order mark", "empty answer", "image in two splits")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound images, quirks, and an image or a question for each fault; questions."""
    needed = len(_FIELDS) + len(_PATHS) + len(IMAGE_FAULTS) + 1
    rows = draw_images(root, cases + 5 * needed, seed)
    sheets = {split: Sheet(file, place="row", first=0) for split, file in SPLIT_FILES.items()}
    by_image: dict[str, list[Row]] = {}
    for row in rows["train"]:
        by_image.setdefault(row["img_name"], []).append(row)
    asked = list(by_image.values())
    first, *sound = [row for about_one in asked[:-needed] for row in about_one]
    for row in sound:
        sheets["train"].add(row)
    for row in rows["validation"]:
        sheets["validation"].add(row)
    for row in [*rows["test"], first | {"answer": ""}]:
        sheets["test"].add(row)
    train, spare = sheets["train"], iter(asked[-needed:])
    for fault, path in _PATHS.items():
        train.add(next(spare)[0] | {"img_name": path}, fault, "path_outside_root")
    images = root / IMAGES
    plant_questions(train, spare, _FIELDS, lambda row: images / row["img_name"], needed="answer")
    for split, file in SPLIT_FILES.items():
        write_array(root / file, sheets[split].rows, bom=split == "train")
    found = sum(len(one.rows) for one in sheets.values())
    return FaultyTwin(tuple(sheets["train"].planted), "qa", found, _QUIRKS)
