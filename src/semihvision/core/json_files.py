"""Reading JSON that somebody else wrote."""

import json
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, with or without a byte order mark.

    Raises:
        InputError: The file is missing, no file, unreadable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None


def parse_json(text: str) -> Any:
    """Parses one JSON document.

    Raises:
        ValueError: What is wrong and where, without quoting the text. Half a surrogate pair, which
            JSON can spell, is wrong too: no file or database would take the text that holds it.
    """
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise ValueError("a text with half a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path) -> Any:
    """Parses a file that holds one JSON document.

    Raises:
        InputError: The file is missing, unreadable or not JSON.
    """
    try:
        return parse_json(read_text(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
