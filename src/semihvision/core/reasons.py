"""What libraries' errors and types mean, in words that someone who does not program understands.

Texts of errors are not passed on where they may quote a file: a file may hold a patient's data.
"""

import json
from typing import Any

_DAMAGED = "its content is damaged, or not as its format demands"
_CUT_OFF = "its data end too early, or are damaged"

_WORDS = {
    "FileNotFoundError": "there is no such file",
    "PermissionError": "you have no permission to read it",
    "IsADirectoryError": "it is a folder, not a file",
    "NotADirectoryError": "a part of its path is no folder",
    "UnidentifiedImageError": "it is in no image format that is known",
    "DecompressionBombError": "unpacked it would be far too large",
    "BadZipFile": "it is no ZIP file, or a damaged one",
    "LargeZipFile": "it is a ZIP file of a kind that is not read",
    "BadGzipFile": "it is no gzip file, or a damaged one",
    "EOFError": _CUT_OFF,
    "IncompleteReadError": _CUT_OFF,
    "UnicodeError": "it holds bytes that are no UTF-8 text",
    "YAMLError": "it is no YAML",
    "ParseError": "it is no XML, or damaged",
    "SafetensorError": "it is no safetensors file, or a damaged one",
    "UnpicklingError": "it holds more than plain weights, or is damaged",
    "ArrowException": "it is no Parquet or Arrow file, or a damaged one",
    "ArrowInvalid": "it is no Parquet or Arrow file, or a damaged one",
    "DatabaseError": "it is no SQLite database, or a damaged one",
    "OperationalError": "the database is locked, or cannot be opened",
    "gaierror": "its name is not known to this machine's network",
    "ConnectionRefusedError": "nothing listens there",
    "SSLError": "its certificate is not accepted",
    "TimeoutError": "no answer came in time",
    "TimeoutExpired": "no answer came in time",
    "CalledProcessError": "the program reports a failure",
    "APITimeoutError": "no answer came in time",
    "APIConnectionError": "no connection to the server",
    "APIStatusError": "the server refuses the request",
    "LocalEntryNotFoundError": "it is not on this machine, and the hub cannot be reached",
    "HfHubHTTPError": "the hub refuses the request",
    "OmegaConfBaseException": "it is no YAML with settings",
    "MemoryError": "it takes more memory than there is",
    "ImportError": "a library that reads it is not installed",
    "RecursionError": "it is nested too deeply",
}
"""Name of a class of errors -> words; by name, so that no library is loaded for it."""


def in_words(error: BaseException) -> str:
    """Why a file, a server or a program could not be used, without the error's own text.

    Args:
        error: What a library raised.

    Returns:
        A clause to stand in brackets or after a colon, e.g. ``its data end too early``.
    """
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON from line {error.lineno}, column {error.colno} on"
    for kind in type(error).__mro__:
        if kind.__name__ in _WORDS:
            return _WORDS[kind.__name__]
    if isinstance(error, OSError):
        # Pillow and others raise it without a number for what is wrong with the data.
        return f"the system says: {error.strerror}" if error.strerror else _CUT_OFF
    return _DAMAGED


def json_kind(value: Any) -> str:
    """What a value of a JSON document is, in JSON's words.

    Args:
        value: As `json.loads` gives it.
    """
    if value is None:
        return "null"
    names = {bool: "true or false", dict: "an object", list: "an array", str: "a text"}
    return names.get(type(value), "a number")
