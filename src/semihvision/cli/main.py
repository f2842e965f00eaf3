"""The way in: `semihvision COMMAND ...`.

Only this table is loaded to answer `semihvision --help`; a command's module, and whatever heavy
library it needs, is imported when the command is run.
"""

import logging
import sys
from importlib import import_module

from semihvision.core.errors import (
    EXIT_CHECK_FAILED,
    EXIT_UNUSABLE,
    CheckFailedError,
    InputError,
)
from semihvision.core.near_names import did_you_mean

COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("semihvision.cli.quickstart", "the whole job on demo data, offline, on a CPU"),
    "demo-data": ("semihvision.cli.demo_data", "write synthetic twins of the sources"),
    "sources": ("semihvision.cli.sources", "the sources' cards: licence, access, conditions"),
    "doctor": ("semihvision.cli.doctor", "what is installed, present, partial, corrupt, missing"),
    "prepare": ("semihvision.cli.prepare", "an owner's files -> Records in Parquet"),
    "records": ("semihvision.cli.records", "look at Records: show, stats, export, browse"),
    "index": ("semihvision.cli.index", "retrieval index: build, search, audit"),
    "annotate": ("semihvision.cli.annotate", "the semi-human pipeline: plan, run, status, export"),
    "fit": ("semihvision.cli.train", "train a stage (LightningCLI)"),
    "validate": ("semihvision.cli.train", "validate a checkpoint (LightningCLI)"),
    "test": ("semihvision.cli.train", "test a checkpoint (LightningCLI)"),
    "predict": ("semihvision.cli.train", "predict with a checkpoint (LightningCLI)"),
    "models": ("semihvision.cli.models", "show a preset's parts and parameter counts"),
    "convert": (
        "semihvision.cli.convert",
        "published checkpoints in, Hugging Face folders out, verify",
    ),
    "evaluate": ("semihvision.cli.evaluate", "a model on benchmarks -> predictions and scores"),
    "chat": ("semihvision.cli.chat", "ask a model about images, in the terminal"),
    "score": ("semihvision.cli.score", "score a predictions file under every convention"),
    "judge": ("semihvision.cli.judge", "a judge over predictions on JAMA-type cases"),
}
"""Command name -> (module with `run(argv) -> int`, one line of help)."""

EXIT_INTERRUPTED = 130
"""Stopped with Ctrl-C, as shells count it."""

LIGHTNING_COMMANDS = ("fit", "validate", "test", "predict")


def help_text() -> str:
    """The text of `semihvision --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: semihvision COMMAND [--help] ...",
            "",
            *lines,
            "",
            "Exit codes: 0 done, 1 a crash, 2 wrong usage or unusable input, 3 done with refused "
            "items listed, 4 a check failed.",
            "",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(help_text())
        return EXIT_UNUSABLE if not arguments else 0
    name = arguments[0]
    if name not in COMMANDS:
        near = did_you_mean(name, COMMANDS)
        more = "\nall commands: semihvision --help\n" if near else f"\n\n{help_text()}"
        sys.stderr.write(f"semihvision: unknown command {name!r}{near}{more}")
        return EXIT_UNUSABLE
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    module = import_module(COMMANDS[name][0])
    rest = arguments if name in LIGHTNING_COMMANDS else arguments[1:]
    try:
        return int(module.run(rest))
    except InputError as error:
        sys.stderr.write(f"semihvision {name}: {error}\n")
        return EXIT_UNUSABLE
    except CheckFailedError as error:
        sys.stderr.write(f"semihvision {name}: {error}\n")
        return EXIT_CHECK_FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"semihvision {name}: stopped; finished work is kept\n")
        return EXIT_INTERRUPTED
