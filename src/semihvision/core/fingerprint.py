"""Has anything changed? One hash over the names, sizes and times of files, or over the code."""

import hashlib
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from semihvision.core.hashing import hash_file, hash_value
from semihvision.core.record import SCHEMA_VERSION

_LIBRARIES = ("numpy", "pillow", "pydicom", "nibabel", "pylibjpeg", "pyarrow", "pydantic")


def tree_fingerprint(root: Path) -> str:
    """SHA-256 over path, size and modification time of everything below a folder.

    Links to files count by what they lead to, links to folders by where they lead.
    """
    digest = hashlib.sha256()
    folders = [str(root.resolve())]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        digest.update(os.fsencode(folder) + b"\0\0")
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
                continue
            digest.update(_line(entry))
    return digest.hexdigest()


def _line(entry: os.DirEntry[str]) -> bytes:
    leads_to = str(Path(entry.path).readlink()) if entry.is_symlink() else ""
    try:
        stat = entry.stat()
    except OSError:  # a link to nowhere
        stat = entry.stat(follow_symlinks=False)
    words = (entry.name, leads_to, str(stat.st_size), str(stat.st_mtime_ns))
    return b"\0".join(os.fsencode(word) for word in words) + b"\n"


def file_fingerprint(path: Path) -> tuple[int, int] | None:
    """Size and modification time; None if there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


@cache
def code_fingerprint(*places: Path) -> str:
    """SHA-256 over Python code and the versions of the libraries that read images and tables.

    Args:
        *places: Python files, and folders of them.
    """
    found = (path for place in places for path in [*place.rglob("*.py"), place])
    files = {str(path): hash_file(path) for path in sorted(found) if path.is_file()}
    versions = {name: _version(name) for name in _LIBRARIES}
    return hash_value([SCHEMA_VERSION, files, versions])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
