"""One way to parse every command: jsonargparse, as LightningCLI does, but errors say where."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from semihvision.cli.help_text import EXIT_CODES, PlainHelp
from semihvision.core.errors import EXIT_UNUSABLE, InputError
from semihvision.core.near_names import did_you_mean

JSON_HELP = "print one JSON document on standard output"


class PlainErrors(ArgumentParser):
    """A parser whose errors name file, line and key, without pages of usage before them."""

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Like the base class's.

        Raises:
            InputError: An interpolation in the YAML cannot be resolved.
        """
        try:
            return super().parse_args(*args, **kwargs)
        except Exception as error:
            # OmegaConf's errors, known by this without importing it.
            key = getattr(error, "full_key", None)
            if key is None:
                raise
            from semihvision.cli.yaml_places import config_files, find_key

            place = find_key(config_files(self.args), key) or key
            what = str(error).partition("\n")[0]
            raise InputError(f"{place}: cannot be resolved: {what}") from None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Says what is wrong and where, and ends with 2."""
        if not self.exit_on_error:
            super().error(message, ex)  # a parser within the parser: of the settings of a class
        from semihvision.cli.settings_errors import explained

        given: ArgumentParser = getattr(ex, "subcommand_parser", None) or self
        name = given.prog.replace(" [options]", "")
        try:
            said = explained(message, given, self.args)
        except InputError as error:
            said = str(error)
        sys.stderr.write(f"{name}: {said}\nall settings: {name} --help\n")
        self.exit(EXIT_UNUSABLE)


def parser(command: str, description: str) -> ArgumentParser:
    """A parser for one command.

    Args:
        command: Words after ``semihvision``, e.g. ``index build``.
        description: One or two sentences for ``--help``.
    """
    return PlainErrors(
        prog=f"semihvision {command}",
        description=description,
        epilog=EXIT_CODES,
        formatter_class=PlainHelp,
    )


def config_parser(command: str, description: str) -> ArgumentParser:
    """Like `parser`, for a command that reads YAML with ``-c FILE`` (OmegaConf interpolation)."""
    made = PlainErrors(
        prog=f"semihvision {command}",
        description=description,
        epilog=EXIT_CODES,
        formatter_class=PlainHelp,
        parser_mode="omegaconf+",
    )
    made.add_argument(
        "-c", "--config", action="config", help="YAML file with settings of these names"
    )
    return made


def dispatch(
    command: str, verbs: dict[str, tuple[Callable[[list[str]], int], str]], argv: list[str]
) -> int:
    """Runs the verb of a two-word command such as ``index build``.

    Args:
        command: First word.
        verbs: Second word -> (function of the remaining arguments, one line of help).
        argv: Arguments after the first word.

    Raises:
        InputError: No verb, or an unknown one; the nearest is named, or the known ones are listed.
    """
    if argv and argv[0] in verbs:
        return verbs[argv[0]][0](argv[1:])
    lines = "\n".join(f"  {name:<8} {summary}" for name, (_, summary) in verbs.items())
    usage = f"usage: semihvision {command} VERB [--help] ...\n\n{lines}\n"
    if argv and argv[0] in ("-h", "--help"):
        sys.stdout.write(usage)
        return 0
    near = did_you_mean(argv[0], verbs) if argv else ""
    if near:
        raise InputError(f"unknown verb {argv[0]!r}{near}\nall verbs: semihvision {command} --help")
    raise InputError(f"expected one of: {', '.join(verbs)}\n\n{usage}")


def source_roots(values: list[str]) -> dict[str, Path]:
    """``SOURCE=DIR`` pairs of ``--root`` as a mapping.

    Raises:
        InputError: Not such a pair, a source given twice, or no such folder.
    """
    roots: dict[str, Path] = {}
    for value in values:
        source, equals, folder = value.partition("=")
        if not equals or not source or not folder:
            raise InputError(f"--root {value!r}: expected SOURCE=DIR")
        if source in roots:
            raise InputError(f"--root {value!r}: {source} already has {roots[source]}")
        if not Path(folder).is_dir():
            raise InputError(f"--root {value!r}: no such folder")
        roots[source] = Path(folder)
    return roots


def plain(namespace: Namespace) -> dict[str, Any]:
    """The parsed values as a plain dict, without the configuration file's own entry."""
    values = namespace.as_dict()
    values.pop("config", None)
    return values
