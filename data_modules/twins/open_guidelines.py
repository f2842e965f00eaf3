"""The twin of the open guidelines: how to describe phantoms; own texts, no medical advice."""

from pathlib import Path
from typing import Any

from data_modules.open_guidelines import FILE
from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import MODALITY_WORDS
from data_modules.phantoms import SIZES
from data_modules.twins.planting import write_lines

_PUBLISHERS = ("cco", "cdc", "cma", "icrc", "nice", "wikidoc", "who", "spor")


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes guidelines about organs and sizes of lesions in turn, with headings and an overview.

    Args:
        root: Folder to write to.
        cases: Number of documents.
        seed: Moves the publishers.
    """
    write_lines(root / FILE, rows_of(cases, seed))


def rows_of(cases: int, seed: int) -> list[dict[str, Any]]:
    """The rows of the file."""
    return [_row(index, seed) for index in range(cases)]


def _row(index: int, seed: int) -> dict[str, Any]:
    organ = list(ORGANS.values())[index % len(ORGANS)]
    size = SIZES[index // len(ORGANS) % len(SIZES)]
    publisher = _PUBLISHERS[(index + seed) % len(_PUBLISHERS)]
    title = f"Phantoms of the {organ.name} with {size} lesions, part {index + 1}"
    words = MODALITY_WORDS[organ.modality]
    body = (
        f"# {title}\n\nThis text is about drawings, not about patients.\n\n"
        f"### Number and side\nCount the {size} lesions on {words} and name the side of each: "
        f"{organ.site('left')} or {organ.site('right')}.\n\n"
        f"### What not to say\nSay nothing about a cause; a drawing has none."
    )
    return {
        "source": publisher,
        "title": title,
        "clean_text": body,
        "raw_text": body.replace("#", ""),
        "url": f"https://example.org/{publisher}/{index + 1}",
        "overview": f"How to describe {size} lesions of the {organ.name}." if index % 2 else None,
    }
