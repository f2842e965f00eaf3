"""Whether an output can be written where a user wants it: asked before the work, not after it."""

import os
import tempfile
from pathlib import Path

from semihvision.core.errors import InputError

_REASONS = {
    "PermissionError": "no permission to write",
    "FileNotFoundError": "no file can be made",
}


def require_writable_file(path: Path) -> None:
    """Checks that a file can be made, or replaced; nothing is left behind.

    Args:
        path: File that a command will write; folders above it may be missing.

    Raises:
        InputError: A folder has its name, a file stands where a folder above it is needed, or
            nothing can be written there.
    """
    _require_room_below(path, path.parent)
    if path.is_dir():
        raise InputError(f"{path}: cannot be written: a folder has this name; name a file")


def require_writable_folder(path: Path) -> None:
    """As `require_writable_file`, for a folder that a command will make or write to.

    Args:
        path: The folder; it may be missing, and folders above it too.

    Raises:
        InputError: A file stands where the folder or one above it is needed, or nothing can be
            written there.
    """
    _require_room_below(path, path)


def _require_room_below(out: Path, folder: Path) -> None:
    # `lexists` is false, where Path's tests raise, below a folder that may not be looked into. A
    # link to nothing counts as there: no folder can be made in its place.
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    try:
        if not there.is_dir():
            raise InputError(
                f"{out}: cannot be written: a file is in the way: {there}; choose another place"
            )
        out.exists()  # names too long
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = _REASONS.get(type(error).__name__) or (error.strerror or str(error)).lower()
        raise InputError(
            f"{out}: cannot be written: {reason} in {there}; choose another place"
        ) from None
