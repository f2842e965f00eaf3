"""Where in a configuration file a setting stands."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml  # type: ignore[import-untyped]

from semihvision.core.errors import InputError

_CONFIG_OPTIONS = ("-c", "--config")


class Place(NamedTuple):
    """One key of a configuration file.

    Attributes:
        file: The file, as the user named it.
        line: Line of the key, from 1.
        path: The key with those that it stands below, e.g. ``trainer.callbacks[1].init_args.x``.
    """

    file: Path
    line: int
    path: str

    def __str__(self) -> str:
        """For messages."""
        return f"{self.file}, line {self.line}: {self.path}"


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The files that ``-c FILE`` and its like name in a command line."""
    found = []
    for i, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in _CONFIG_OPTIONS and equals:
            found.append(Path(value))
        elif argument in _CONFIG_OPTIONS and i + 1 < len(arguments):
            found.append(Path(arguments[i + 1]))
    return found


def check_files(files: Sequence[Path]) -> None:
    """Refuses configuration files that cannot be read, are no YAML, or hold no settings.

    Raises:
        InputError: With file and, where there is one, line.
    """
    for file in files:
        if not file.is_file():
            raise InputError(f"-c {file}: no such file")
        root = _composed(file)
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise InputError(f"{file}: expected settings as `name: value`, found {_kind(root)}")


def find_key(files: Sequence[Path], key: str, outer: Sequence[str] = ()) -> Place | None:
    """The place of a key in the last file that has it.

    Args:
        files: Configuration files; later ones overrule earlier ones.
        key: Name of the key, or its whole path with dots.
        outer: Keys that it stands below, not necessarily at once, outermost first.
    """
    wanted = [*".".join(outer).split("."), *key.split(".")] if outer else key.split(".")
    for file in reversed(files):
        for keys, place in _keys(file):
            if keys[-1] == wanted[-1] and _in_order(wanted, keys):
                return place
    return None


def find_value(files: Sequence[Path], value: str) -> Place | None:
    """The place of the key that has a certain text as its value, or in a list of values."""
    for file in reversed(files):
        root = _composed(file)
        for path, line, node in _walk(root, "") if root is not None else ():
            if isinstance(node, yaml.ScalarNode) and node.value == value:
                return Place(file, line, path)
    return None


def _composed(file: Path) -> yaml.Node | None:
    try:
        return yaml.compose(file.read_text("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise InputError(f"{file}: expected YAML in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        what = error.problem or "not understood"
        begun = error.context_mark
        since = "" if begun is None else f" ({error.context}, begun in line {begun.line + 1})"
        raise InputError(f"{file}{where}: no readable YAML: {what}{since}") from None
    except (OSError, yaml.YAMLError):
        raise InputError(f"{file}: no readable YAML") from None


def _keys(file: Path) -> Iterator[tuple[list[str], Place]]:
    root = _composed(file)
    for path, line, _ in _walk(root, "") if root is not None else ():
        keys = [part.partition("[")[0] for part in path.split(".")]
        if not path.endswith("]"):
            yield keys, Place(file, line, path)


def _walk(node: yaml.Node, path: str) -> Iterator[tuple[str, int, yaml.Node]]:
    """Path, line and value of every key and list item below a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            own = f"{path}.{key.value}" if path else str(key.value)
            yield own, key.start_mark.line + 1, value
            yield from _walk(value, own)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield f"{path}[{i}]", value.start_mark.line + 1, value
            yield from _walk(value, f"{path}[{i}]")


def _in_order(wanted: Sequence[str], keys: Sequence[str]) -> bool:
    """Whether `wanted` are among `keys`, in this order."""
    rest = iter(keys)
    return all(any(key == one for one in rest) for key in wanted)


def _kind(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
