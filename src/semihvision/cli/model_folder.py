"""The model folder that a command is given, looked at before anything heavy is loaded."""

from pathlib import Path

from semihvision.core.errors import InputError


def require_model_folder(folder: Path) -> None:
    """Refuses what cannot be a model folder; what is in one is for those who load it to judge.

    Args:
        folder: What the user named.

    Raises:
        InputError: No such folder, or the folder of a run, whose model lies below it.
    """
    if not folder.is_dir():
        base = "" if folder.is_absolute() else f" (relative to {Path.cwd()})"
        raise InputError(f"{folder}: no such model folder{base}; `semihvision fit` writes one")
    below = folder / "model"
    if not (folder / "config.json").exists() and (below / "config.json").is_file():
        raise InputError(f"{folder}: no model folder, but {below} is one; name that")
