"""What the files of configs/data say about themselves: the commands in their heads."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DATA_CONFIGS = {file.stem: file for file in sorted((CONFIGS / "data").glob("*.yaml"))}
MIX = "semihvision"
CPU_STAGE = "configs/train/tiny/source.yaml"

_COMMAND = re.compile(r"#\s+(?:First|Then|Command)\s+semihvision (.*)")


class Commands(NamedTuple):
    """Arguments after `semihvision`, in the order in which a user types them."""

    before: list[list[str]]
    run: list[str]

    def on_a_cpu(self) -> list[str]:
        """The last one with the stage that the head names for a CPU, and no model to start from."""
        stage = [CPU_STAGE if word.startswith("configs/train/") else word for word in self.run]
        cut = stage.index("--model.init_from") if "--model.init_from" in stage else len(stage)
        return stage[:cut]


def head(name: str) -> str:
    """The comment that a file opens with."""
    return DATA_CONFIGS[name].read_text(encoding="utf-8").partition("\ndata:\n")[0]


def commands(name: str) -> Commands:
    """The commands in a file's head; a backslash joins lines, brackets hold a remark."""
    joined = re.sub(r"\\\n#\s+", "", head(name))
    found = [shlex.split(re.sub(r"\s+\(.*", "", line)) for line in _COMMAND.findall(joined)]
    return Commands(found[:-1], found[-1])
