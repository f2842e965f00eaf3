"""Which code made a run: version and commit, as MLflow tags."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def code_tags() -> dict[str, str]:
    """Version, git commit and whether tracked files differ from it, as MLflow tags.

    The commit is that of this software's own checkout, wherever the command was started; an
    installed wheel has none and says so.
    """
    tags = {"semihvision_version": _version()}
    here = Path(__file__).parent
    if _git(here, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {**tags, "git_commit": "not a git checkout"}
    commit = _git(here, "rev-parse", "HEAD") or "unknown"
    changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    dirty = "unknown" if changed is None else str(bool(changed)).lower()
    return {
        **tags,
        "git_commit": commit,
        "git_dirty": dirty,
        "mlflow.source.git.commit": commit,
    }


def _version() -> str:
    """The installed version; training also runs from a checkout that is only on the path."""
    try:
        return version("semihvision")
    except PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *words: str) -> str | None:
    """Output of a git command, None where git or the repository is absent."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
