"""SHA-256 of files, folders and plain values: what a run was made from, in one line."""

import hashlib
import json
from pathlib import Path
from typing import Any

from semihvision.core.errors import InputError

_CHUNK_BYTES = 1 << 20


def hash_text(text: str) -> str:
    """Hex digest of a text, UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_value(value: Any) -> str:
    """Hex digest of a value made of dicts, lists, texts and numbers; the order of keys is ignored.

    Anything else in it (a path, say) counts by its text.
    """
    return hash_text(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))


def hash_file(path: Path) -> str:
    """Hex digest of a file's bytes.

    Raises:
        InputError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def hash_path(path: Path) -> str:
    """Hex digest of a file, or of the names and contents of all files below a folder.

    Raises:
        InputError: There is no such file or folder, or the folder holds no file.
    """
    if not path.is_dir():
        return hash_file(path)
    files = sorted(found for found in path.rglob("*") if found.is_file())
    if not files:
        raise InputError(f"{path}: an empty folder; expected files")
    return hash_value({found.relative_to(path).as_posix(): hash_file(found) for found in files})
