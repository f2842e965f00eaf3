"""LLD-MMRI's twin with quirks and planted faults."""

import codecs
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_modules.lld_annotation import FILE
from data_modules.lld_cutouts import CLASSES, FOLDER
from data_modules.twins.faults import FaultyTwin, Planted
from data_modules.twins.lld_mmri import draw_patients, write_tables
from data_modules.twins.volumes import NUM_SLICES, VOLUME_FAULTS

Series = dict[str, Any]


def _lesion(series: Series) -> dict[str, Any]:
    """The first lesion of a series, with its 3-D box alone."""
    lesion: dict[str, Any] = series["annotation"]["lesion"]["0"]
    lesion["bbox"].pop("2D_box", None)
    return lesion


def _change_box(name: str, value: object) -> Callable[[Series], None]:
    return lambda series: _lesion(series)["bbox"]["3D_box"].update({name: value})


_ENTRIES: dict[str, tuple[Callable[[Series], object], str]] = {
    "key missing": (lambda series: series.pop("seriesUID"), "invalid_row"),
    "path outside of the root": (
        lambda series: series.update(seriesUID="../../../../outside"),
        "invalid_row",
    ),
    "unknown phase": (lambda series: series.update(phase="T1"), "invalid_row"),
    "no lesions": (lambda series: series.update(annotation=None), "invalid_row"),
    "NaN in a box": (_change_box("x_min", float("nan")), "invalid_row"),
    "box beyond the volume": (_change_box("z_max", NUM_SLICES), "invalid_box"),
    "unknown class": (lambda series: _lesion(series).update(category="Cirrhosis"), "invalid_row"),
    "NaN class": (lambda series: _lesion(series).update(category=float("nan")), "invalid_row"),
}
"""Fault of a series -> what makes it, and the kind."""

_LINES = {
    "another delimiter": (b"MR9,1", "invalid_row"),
    "class missing": (b"MR9", "invalid_row"),
    "no such class": (b"MR9 7", "invalid_row"),
    "NaN class": (b"MR9 nan", "invalid_row"),
    "Latin-1": ("MRé 1".encode("latin-1"), "invalid_row"),
    "id twice": (b"MR300001 0", "repeated_id"),
}
"""Fault of a line in `labels.txt`."""

_QUIRKS = (
    "byte order mark", "class by number", "class in other capitals", "corners as texts",
    "volume that is not packed", "2D_box beside 3D_box", "blanks and tabs in labels.txt",
    "series without a lesion",
)  # fmt: skip


def write_faults(root: Path, *, cases: int, seed: int) -> FaultyTwin:
    """Writes sound patients, quirks, and one patient for each fault; units are slices."""
    patients = draw_patients(root, cases + 1 + len(_ENTRIES) + len(VOLUME_FAULTS) + 2, seed)
    names = list(patients)
    _repeat_phase(patients[names[-2]])
    _contradict(patients[names[-1]])
    found = sum(_num_slices(series) for rows in patients.values() for series in rows)
    found += _make_quirky(root, names[cases], patients[names[cases]])
    planted = [
        _planted("phase twice", names[-2], 2, "repeated_id", patients[names[-2]][1]),
        _planted(
            "another class on one phase", names[-1], 2, "contradicting_rows", patients[names[-1]][1]
        ),
    ]
    faulty = iter(names[cases + 1 :])
    for fault, (change, kind) in _ENTRIES.items():
        name = next(faulty)
        planted.append(_planted(fault, name, 1, kind, patients[name][0]))
        change(patients[name][0])
    for fault, (spoil, kind) in VOLUME_FAULTS.items():
        name = next(faulty)
        spoil(_path(root, name, patients[name][0]))
        planted.append(_planted(fault, name, 1, kind, patients[name][0]))
    write_tables(root, patients, extra=f',\n  "{names[0]}": [],\n  "no id": []')
    planted.append(Planted("patient twice", f"patient {names[0]}", "repeated_id", FILE, 0))
    last = f"patient {len(patients) + 1}"
    planted.append(Planted("blank in an id", last, "invalid_row", FILE, 0))
    planted += _spoil_texts(root)
    return FaultyTwin(tuple(planted), "images", found, _QUIRKS)


def _repeat_phase(rows: list[Series]) -> None:
    rows[1]["phase"] = rows[0]["phase"]


def _contradict(rows: list[Series]) -> None:
    for number, series in enumerate(rows):
        _lesion(series)["category"] = CLASSES[number == 1]
        series["annotation"]["lesion"] = {"0": _lesion(series)}


def _planted(fault: str, name: str, number: int, kind: str, series: Series) -> Planted:
    return Planted(fault, f"patient {name}, series {number}", kind, FILE, _num_slices(series))


def _num_slices(series: Series) -> int:
    """How many slices have a box; lesions lie in slices that follow each other."""
    boxes = [lesion["bbox"]["3D_box"] for lesion in series["annotation"]["lesion"].values()]
    num_slices: int = 1 + max(box["z_max"] for box in boxes) - min(box["z_min"] for box in boxes)
    return num_slices


def _path(root: Path, patient: str, series: Series) -> Path:
    study, name = str(series["studyUID"]), str(series["seriesUID"])
    return root / "images" / patient / study / f"{name}.nii.gz"


def _make_quirky(root: Path, patient: str, rows: list[Series]) -> int:
    """Changes the first series of a patient; returns how many slices more are to be taken."""
    for number, series in enumerate(rows[:6]):
        for lesion in series["annotation"]["lesion"].values():
            category = lesion["category"]
            if category in CLASSES:
                index = CLASSES.index(category)
                lesion["category"] = (index, category.upper(), str(index))[number % 3]
            if number == 3:
                box = lesion["bbox"]["3D_box"]
                lesion["bbox"] = {"3D_box": {key: str(value) for key, value in box.items()}}
    packed = _path(root, patient, rows[6])
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    more = NUM_SLICES - _num_slices(rows[7])
    rows[7]["annotation"]["lesion"] = {}
    return more


def _spoil_texts(root: Path) -> list[Planted]:
    """Adds faulty lines to a list of labels, and byte order marks."""
    (root / FILE).write_bytes(codecs.BOM_UTF8 + (root / FILE).read_bytes())
    path = root / FOLDER / "labels" / "labels.txt"
    lines = path.read_bytes().replace(b" ", b" \t ").splitlines()
    planted = []
    for fault, (line, kind) in _LINES.items():
        lines.append(line)
        planted.append(Planted(fault, f"line {len(lines)}", kind, path.name, 0))
    path.write_bytes(codecs.BOM_UTF8 + b"\n".join(lines) + b"\n")
    return planted
