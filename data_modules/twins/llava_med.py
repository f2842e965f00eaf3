"""The twin of LLaVA-Med: phantoms as figures of invented articles, with conversations."""

from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.llava_med import DOMAINS, FILES
from data_modules.phantom_anatomy import ORGANS
from data_modules.phantoms import Factors, design, draw
from data_modules.twins.dialogues import asked, described, shown
from data_modules.twins.planting import write_array

_DOMAIN_OF = {"mr": "mri", "ct": "ct_scan", "xray": "chest_xray"}


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes figures with a description each; every second has an instruction conversation, too.

    The alignment file misspells `conversatons`.

    Args:
        root: Folder to write to.
        cases: Number of figures.
        seed: Decides everything.
    """
    rows = draw_rows(root, cases, seed)
    write_part(root, "alignment_500k", [row for row, _ in rows])
    write_part(root, "instruct_10k", [row for _, row in rows[::2]])
    write_part(root, "instruct_60k_inline_mention", [row for _, row in rows[::2]])


def draw_rows(root: Path, cases: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Draws the figures and returns the alignment and the instruction row of each."""
    random = default_rng([seed, 13])
    (root / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, factors in enumerate(design(cases, random)):
        name = f"{90000001 + index}_F{1 + index % 3:04d}_phantom-{index % 7:02d}"
        draw(factors, [seed, 13, index]).image().save(root / "images" / f"{name}.jpg", quality=90)
        rows.append(_rows(name, factors, index))
    return rows


def write_part(root: Path, part: str, rows: list[Any], *, bom: bool = False) -> None:
    """Writes one of the owners' files."""
    folder, name = FILES[part]
    write_array(root / folder / name, rows, bom=bom)


def _rows(name: str, factors: Factors, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    about = {"id": name, "image": f"{name}.jpg"}
    aligned = {**about, "conversatons": shown(described(factors), first=index % 2 == 0)}
    modality = _DOMAIN_OF[ORGANS[factors.organ].modality]
    domain = {one: one == modality for one in DOMAINS}
    talk = shown(asked(factors), first=index % 2 == 1)
    return aligned, {**about, "domain": domain, "conversations": talk}
