"""Checkpoint folders on disk: complete or not there, newest first, no more than are kept.

A checkpoint is written under another name, brought to the disk, given a list of its files and their
sizes, and renamed. A kill or a full disk leaves the checkpoints before it as they were.
"""

import json
import logging
import re
import shutil
from pathlib import Path

from semihvision.core.files import to_disk
from semihvision.core.reasons import in_words

_log = logging.getLogger(__name__)

CONTENTS_FILE = "complete.json"
"""Written last: file name -> size in bytes of every other file."""

_NAME = re.compile(r"step-(\d{9})")
_PARTIAL = ".partial"


def folder_of(dirpath: Path, step: int) -> Path:
    """Folder of the checkpoint after an optimizer step."""
    return dirpath / f"step-{step:09d}"


def partial_of(final: Path) -> Path:
    """Where a checkpoint is written before it counts."""
    return final.with_name(final.name + _PARTIAL)


def begin(final: Path) -> Path:
    """An empty folder to write a checkpoint into."""
    partial = partial_of(final)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def finish(partial: Path, final: Path) -> None:
    """Makes a fully written checkpoint count.

    Args:
        partial: From `begin`, all files written.
        final: Its place; an older checkpoint there is replaced.
    """
    sizes = {}
    for file in sorted(partial.iterdir()):
        sizes[file.name] = file.stat().st_size
        to_disk(file)
    contents = partial / CONTENTS_FILE
    contents.write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    to_disk(contents)
    to_disk(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)
    to_disk(final.parent)


def abandon(partial: Path) -> None:
    """Removes what was written of a checkpoint that will not be finished."""
    shutil.rmtree(partial, ignore_errors=True)


def prune(dirpath: Path, keep: int) -> None:
    """Removes the oldest checkpoints, and damaged ones, which must not take a good one's place.

    Whatever a kill has left unfinished goes, too: none is being written now.

    Args:
        dirpath: Folder of the checkpoints.
        keep: How many stay, at least 1.
    """
    folders = _by_step(dirpath)
    kept = [folder for folder in folders if damage(folder) is None][:keep]
    for folder in folders:
        if folder not in kept:
            shutil.rmtree(folder)
    for path in dirpath.iterdir():
        if path.name.endswith(_PARTIAL) and _NAME.fullmatch(path.name.removesuffix(_PARTIAL)):
            shutil.rmtree(path)


def newest(dirpath: Path) -> Path | None:
    """The newest complete checkpoint; newer damaged ones are named in a warning and passed over."""
    for folder in _by_step(dirpath):
        found = damage(folder)
        if found is None:
            return folder
        _log.warning("checkpoint %s is damaged (%s); using the one before it", folder, found)
    return None


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None for nothing.

    Files are compared by size: hashing all weights would take minutes at every start.
    """
    try:
        sizes = json.loads((folder / CONTENTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{CONTENTS_FILE}: {in_words(error)}"
    for name, size in sizes.items():
        file = folder / Path(name).name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes, expected {size}"
    return None


def _by_step(dirpath: Path) -> list[Path]:
    if not dirpath.is_dir():
        return []
    found = [(match, path) for path in dirpath.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: int(pair[0][1]), reverse=True)]
