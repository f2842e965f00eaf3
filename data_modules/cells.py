"""Cells of owners' tables: lists in Python's spelling, and paths of images.

A damaged table may hold any text in any cell, so nothing is run and nothing strange is quoted.
"""

import ast
import re
import warnings
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image
from semihvision.core.paths import inside
from semihvision.core.record import ImageRef

MAX_CHARS = 100_000
"""Longer than any owner's cell; Python's parser bounds the nesting itself."""

_NOTHING = ("", "nan", "none")
_FILE_PATH = re.compile(r"[\w ./+,()~@&-]{1,200}\.[A-Za-z0-9]{1,8}")


def literal(cell: str) -> Any:
    """The value of a cell; None where it is empty, NaN or None.

    Args:
        cell: Lists, dictionaries, texts and numbers in Python's spelling.

    Raises:
        InputError: No literal, too long or nested too deeply. The cell is not quoted.
    """
    if cell.strip().lower() in _NOTHING:
        return None
    if len(cell) > MAX_CHARS:
        raise InputError(f"a list of more than {MAX_CHARS} characters", kind="invalid_row")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash that escapes nothing
            return ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise InputError("expected a list in Python's spelling", kind="invalid_row") from None


def text_list(cell: str) -> list[str]:
    """The texts of a list cell without blanks around them; empty and NaN entries are left out.

    Raises:
        InputError: The cell is no list of texts.
    """
    values = literal(cell)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError("expected a list of texts in Python's spelling", kind="invalid_row")
    return [value.strip() for value in values if value.strip().lower() not in _NOTHING]


def image_of_cell(root: Path, path: str, *, image_id: str, **known: Any) -> ImageRef:
    """`probe_image` of a path that stands in a table's cell, where a damaged table may hold a text.

    Raises:
        InputError: As from `probe_image`; a cell that does not look like a path is not quoted.
    """
    inside(root, path)
    if not _FILE_PATH.fullmatch(path):
        raise InputError(
            "the image's path: expected a file name of at most 200 characters with a suffix",
            kind="unusable_path",
        )
    return probe_image(root, path, image_id=image_id, **known)
