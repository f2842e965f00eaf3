"""Cells that hold a Python literal, e.g. ``"['Lung', 'Breast']"``; nothing in them is run."""

import ast
import warnings
from typing import Any

from semihvision.core.errors import InputError

MAX_CHARS = 100_000
"""Longer than any owner's cell; Python's parser bounds the nesting itself."""

_NOTHING = ("", "nan", "none")


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
