"""Reading JSON that somebody else wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError

OnPairs = Callable[[list[tuple[str, Any]]], Any]


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, with or without a byte order mark.

    Raises:
        InputError: The file is missing, no file, unreadable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None


def parse_json(text: str, *, on_pairs: OnPairs | None = None) -> Any:
    """Parses one JSON document.

    Args:
        text: The document.
        on_pairs: Makes an object of its keys and values, of which a key may be there twice; by
            default a dictionary, in which the last one counts.

    Raises:
        ValueError: What is wrong and where, without quoting the text. Half a surrogate pair, which
            JSON can spell, is wrong too: no file or database would take the text that holds it.
    """
    try:
        value = json.loads(text, object_pairs_hook=on_pairs)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise ValueError("a text with half a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path, *, on_pairs: OnPairs | None = None) -> Any:
    """Parses a file that holds one JSON document.

    Args:
        path: The file.
        on_pairs: As for `parse_json`.

    Raises:
        InputError: The file is missing, unreadable or not JSON.
    """
    try:
        return parse_json(read_text(path), on_pairs=on_pairs)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
