"""How `--help` of our commands looks: what to give, whether it must be given, and the default."""

from argparse import SUPPRESS, Action
from dataclasses import is_dataclass
from pathlib import Path

from jsonargparse import DefaultHelpFormatter

from semihvision.cli.output import in_text

EXIT_CODES = (
    "Exit codes: 0 done, 2 wrong usage or unusable input, 3 done with refused items listed, 4 a "
    "check failed."
)

_METAVARS = {Path: "PATH", int: "N", float: "X"}


class PlainHelp(DefaultHelpFormatter):
    """jsonargparse's help without Python's types, empty defaults and words about optional ones."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if not hasattr(action, "_typehint") and action.option_strings and action.nargs == 0:
            return text  # a switch: off unless given
        if action.required and (action.option_strings or action.nargs not in ("*", "?")):
            return f"{text} (required)" if action.option_strings else text
        default = action.default
        if default is None or default is False or default in (SUPPRESS, "", [], {}, ()):
            return text
        if is_dataclass(default) or (isinstance(default, tuple) and is_dataclass(default[0])):
            return text
        return f"{text} (default: {_one_line(default)})"

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        known = _METAVARS.get(getattr(action, "_typehint", action.type))  # type: ignore[arg-type]
        return known or str(super()._get_default_metavar_for_optional(action))


def _one_line(value: object) -> str:
    # Seeds and sizes are typed as they stand.
    return str(value) if isinstance(value, int | str) else in_text(value)
