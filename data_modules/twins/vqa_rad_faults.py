"""VQA-RAD's twin with quirks and planted faults."""

import codecs
import json
from pathlib import Path
from typing import Any

from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.planting import IMAGE_FAULTS
from data_modules.twins.vqa_rad import write_twin
from data_modules.vqa_rad import SPLIT_FILES

_FILE = SPLIT_FILES["train"]

_FIELDS: dict[str, tuple[str, object]] = {
    "number as an image": ("image_name", 7),
    "no question": ("question", " "),
    "NaN answer": ("answer", float("nan")),
    "text as an id": ("qid", "1"),
    "list as an answer type": ("answer_type", ["CLOSED"]),
}
"""Fault of a question -> field and value."""

_PATHS = {
    "path outside of the root": ("../../outside.jpg", "path_outside_root"),
    "sentence as a path": ("a finding, not a file", "unusable_path"),
}
_QUIRKS = ("byte order mark", "blank after the answer type", "whole numbers as answers")

Row = dict[str, Any]


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound phantoms, quirks, and faults of questions and images; units are questions."""
    # A quarter of the phantoms are test images; the faults stand in the training questions.
    spoilt = len(IMAGE_FAULTS) + 1
    write_twin(root, cases=cases + 2 * spoilt, seed=seed)
    rows: list[Row] = json.loads((root / _FILE).read_text(encoding="utf-8"))
    test = json.loads((root / SPLIT_FILES["test"]).read_text(encoding="utf-8"))
    images = list(dict.fromkeys(row["image_name"] for row in rows))
    planted = _spoil_images(root, rows, images[:-1])
    rows[-1]["answer_type"] += " "
    # The questions about the last image are spoilt one by one.
    spare = [number for number, row in enumerate(rows) if row["image_name"] == images[-1]]
    for (fault, (field, value)), number in zip(_FIELDS.items(), spare, strict=True):
        rows[number][field] = value
        planted.append(Planted(fault, f"row {number}", "invalid_row", _FILE))
    sound = next(row for k, row in enumerate(rows) if k not in spare)
    number = max(row["qid"] for row in [*rows, *test] if isinstance(row["qid"], int))
    for fault, (name, kind) in _PATHS.items():
        number += 1
        rows.append({**sound, "qid": number, "image_name": name})
        planted.append(Planted(fault, f"qid {number}", kind, _FILE))
    rows.append(dict(sound))
    planted.append(Planted("qid twice", f"qid {sound['qid']}", "repeated_id", _FILE))
    rows.append({name: value for name, value in sound.items() if name != "question"})
    planted.append(Planted("key missing", f"row {len(rows) - 1}", "invalid_row", _FILE))
    (root / _FILE).write_bytes(codecs.BOM_UTF8 + json.dumps(rows).encode())
    return FaultyTwin(tuple(planted), "qa", len(rows) + len(test), _QUIRKS)


def _spoil_images(root: Path, rows: list[Row], images: list[str]) -> list[Planted]:
    planted = []
    for (fault, (spoil, kind)), name in zip(IMAGE_FAULTS.items(), images, strict=False):
        spoil(root / "images" / name)
        planted += [
            Planted(fault, f"qid {row['qid']}", kind, _FILE)
            for row in rows
            if row["image_name"] == name
        ]
    return planted
