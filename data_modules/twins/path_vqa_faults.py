"""PathVQA's twin with quirks and planted faults."""

from pathlib import Path
from typing import Any

from data_modules.path_vqa import IMAGES, SPLITS
from data_modules.twins.faults import FaultyTwin
from data_modules.twins.path_vqa import draw_entries, entry
from data_modules.twins.planting import IMAGE_FAULTS, LATIN_1, Sheet, write_array

_QUIRKS = ("byte order mark", "entries without questions", "answers with outer blanks")


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound images, quirks, and an entry for each fault; units are images with questions."""
    broken = _broken()
    needed = len(broken) + len(IMAGE_FAULTS) + 1
    entries = draw_entries(root, cases + 5 * needed, seed)
    sheets = {
        split: Sheet(f"pvqa_{split}.json", place="row", first=0) for split in SPLITS
    }  # fmt: skip
    for split in ("val", "test"):
        for row in entries[split]:
            sheets[split].add(row)
    train = sheets["train"]
    for row in entries["train"][:-needed]:
        train.add(row)
    spare = iter(entries["train"][-needed:])
    for fault, (change, kind) in broken.items():
        train.add(next(spare) | change, fault, kind)
    for fault, (spoil, kind) in IMAGE_FAULTS.items():
        row = next(spare)
        spoil(root / IMAGES / "train" / f"{row['img_id']}.jpg")
        train.add(row, fault, kind)
    twice = next(spare)
    train.add(twice)
    train.add(twice, "entry twice", "repeated_id")
    train.add("7", "a number instead of an entry", "broken_json")
    for split, sheet in sheets.items():
        write_array(root / f"pvqa_{split}.json", sheet.rows, bom=split == "train")
    # The first entry of each split has no question.
    found = sum(len(sheet.rows) - 1 for sheet in sheets.values())
    return FaultyTwin(tuple(train.planted), "records", found, _QUIRKS)


def _broken() -> dict[str, tuple[dict[str, Any], str]]:
    """Fault of an entry -> fields it has instead, and the kind."""
    one = entry("train_x", [("which organ?", "brain")])
    return {
        "no image id": ({"img_id": ""}, "invalid_row"),
        "path instead of an id": ({"img_id": "../../train_1"}, "invalid_row"),
        "id outside of the root": ({"img_id": ".."}, "missing_image"),
        "more questions than answers": ({"labelf": {"pvqa": []}}, "invalid_row"),
        "two answers": ({**one, "labelf": {"pvqa": [{"brain": 1, "lungs": 1}]}}, "answer"),
        "empty question": ({**one, "sentf": {"pvqa": [" "]}}, "invalid_row"),
        "another source's questions": ({"sentf": {"vqa": []}}, "invalid_row"),
        "Latin-1": ({**one, "sentf": {"pvqa": [LATIN_1]}}, "encoding"),
    }
