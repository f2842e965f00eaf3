"""Paths that come out of data files, kept inside the folder they belong to."""

import os
from pathlib import Path

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words


def inside(root: Path, relative: str) -> Path:
    """Joins a path from a data file to its root and refuses to leave that root.

    Args:
        root: Folder the path is relative to.
        relative: POSIX-style relative path as it stands in the data file.

    Returns:
        The joined path; it need not exist.

    Raises:
        InputError: The path is empty, absolute, leaves ``root`` (``..`` or a symbolic link), or
            is none that this system can look up. It is not quoted: a cell of a damaged table may
            hold anything.
    """
    if not relative or relative.startswith("/") or "\\" in relative:
        raise InputError(
            "expected a relative path with forward slashes",
            kind="path_outside_root",
        )
    try:
        # Not Path.resolve, which takes three times as long: this is asked for every image.
        real_root = os.path.realpath(root)
        joined = Path(os.path.realpath(os.path.join(real_root, relative)))  # noqa: PTH118
        joined.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # too long, a loop of links, a NUL
        why = in_words(error) if isinstance(error, OSError) else "it holds a NUL character"
        raise InputError(f"a path that cannot be looked up ({why})", kind="unusable_path") from None
    if not joined.is_relative_to(real_root):
        raise InputError(
            "a path that leaves its root folder; expected one inside it",
            kind="path_outside_root",
        )
    return joined
