"""Paths that come out of data files, kept inside the folder they belong to."""

from pathlib import Path, PurePosixPath

from semihvision.core.errors import InputError


def inside(root: Path, relative: str) -> Path:
    """Joins a path from a data file to its root and refuses to leave that root.

    Args:
        root: Folder the path is relative to.
        relative: POSIX-style relative path as it stands in the data file.

    Returns:
        The joined path; it need not exist.

    Raises:
        InputError: The path is empty, absolute, or leaves ``root`` (``..`` or a symbolic link).
    """
    if not relative or PurePosixPath(relative).is_absolute() or "\\" in relative:
        raise InputError(
            f"path {relative!r}: expected a relative path with forward slashes",
            kind="path_outside_root",
        )
    joined = (root / relative).resolve()
    if not joined.is_relative_to(root.resolve()):
        raise InputError(
            f"path {relative!r} leaves its root folder; expected a path inside it",
            kind="path_outside_root",
        )
    return joined
