"""What a parser refuses, in words: file, line, key, what was expected, and the nearest known key.

jsonargparse tells what is wrong in one text, nested by indentation. What is not understood here is
passed on as it says it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from jsonargparse import ArgumentParser

from semihvision.cli.known_settings import (
    classes_beside,
    leading_parts,
    meant,
    settings_of_class,
    settings_of_parser,
)
from semihvision.cli.yaml_places import check_files, config_files, find_key, find_value

_SHOWN_CHARS = 60
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "null",
    "list": "a list",
    "dict": "a mapping",
    "Path": "a path",
}


@dataclass
class _Problem:
    """What a text of jsonargparse says, as far as it was read.

    Attributes:
        keys: Keys it stands below, outermost first.
        class_path: Class whose setting it is; empty for none.
        unknown: Names that are not known there.
        missing: Names that are required there.
        no_class: Why there is no such class; empty if there is.
        expected: Types, any of which would do.
        found: The value, as written; None where it is not shown.
        stray: Number of words that belong to no option; they are not shown, a question may be one.
    """

    keys: list[str] = field(default_factory=list)
    class_path: str = ""
    unknown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    no_class: str = ""
    expected: list[str] = field(default_factory=list)
    found: str | None = None
    stray: int = 0


def explained(message: str, parser: ArgumentParser, arguments: Sequence[str]) -> str:
    """The message for a user.

    Args:
        message: What the parser says.
        parser: Knows the options.
        arguments: The command line.

    Raises:
        InputError: A configuration file is none.
    """
    files = config_files(arguments)
    check_files(files)
    problem = _read(message)
    if problem.unknown:
        return "\n".join(_unknown(name, problem, parser, arguments) for name in problem.unknown)
    if problem.stray:
        return f"{problem.stray} words belong to no option; put a text with blanks into quotes"
    where = _where(problem, arguments)
    if problem.no_class:
        place = find_value(files, problem.class_path)
        shown = place or ".".join([*problem.keys, "class_path"])
        near = meant(problem.class_path, classes_beside(problem.class_path))
        return f"{shown}: no class {problem.class_path!r} ({problem.no_class}){near}"
    if problem.missing:
        names = ", ".join(_as_option(name, parser) for name in problem.missing)
        below = f"{where}: " if problem.keys else ""
        owner = f" ({problem.class_path})" if problem.class_path else ""
        return f"{below}required and not given: {names}{owner}"
    if problem.expected and problem.keys:
        found = "" if problem.found is None else f", found {_cut(problem.found)}"
        return f"{where}: expected {' or '.join(dict.fromkeys(problem.expected))}{found}"
    return re.sub(r"<class '([^']+)'>", lambda m: _type(m[0]), message)


def _read(message: str) -> _Problem:
    """Takes the first problem of the text; alternatives of a union stand on one level with it."""
    problem = _Problem()
    level: int | None = None
    for line in message.splitlines():
        depth = len(line) - len(line.lstrip(" -"))
        text = line.strip(" -")
        if level is not None and depth < level and not text.startswith("Given value"):
            break
        if found := re.match(r'Parser key "([^"]+)":\s*', text):
            problem.keys.append(found[1])
            text = text[found.end() :]
        if found := re.match(r"Expected an? (.*?)(?:\. Got value: (.*))?$", text):
            level = depth
            problem.expected.append(_type(found[1]))
            problem.found = found[2] or problem.found
        elif _take(text, problem):
            break
    return problem


def _take(text: str, problem: _Problem) -> bool:
    """Takes one line of the text; True if it says all there is to know."""
    for pattern, take in _PATTERNS.items():
        if found := re.match(pattern, text):
            take(problem, *found.groups())
            return take is not _in_class
    return False


def _in_class(problem: _Problem, class_path: str) -> None:
    problem.class_path = class_path


def _value(problem: _Problem, value: str) -> None:
    problem.found = problem.found or value


def _in_group(problem: _Problem, group: str, name: str) -> None:
    problem.keys.append(group)
    problem.unknown.append(name)


def _unrecognized(problem: _Problem, words: str) -> None:
    given = words.split()
    problem.unknown += [one.partition("=")[0] for one in given if one.startswith("-")]
    problem.stray = 0 if problem.unknown else len(given)


def _no_subclass(problem: _Problem) -> None:
    problem.expected.append("a mapping with class_path, and init_args for its settings")


_PATTERNS: dict[str, Callable[..., None]] = {
    r"Problem with given class_path '([^']+)':": _in_class,
    r"Given value: (.*)": _value,
    r"Option '([^']+)' is not accepted": lambda problem, name: problem.unknown.append(name),
    r"Subcommand '[^']+' does not accept option '([^']+)'": lambda problem, name: (
        problem.unknown.append(name)
    ),
    r"Group '([^']+)' does not accept option '([^']+)'": _in_group,
    r"unrecognized arguments: (.*)": _unrecognized,
    r"the following arguments are required: (.*)": lambda problem, names: problem.missing.extend(
        names.split(", ")
    ),
    r"((?:module .* has no attribute|No module named|Unable to import).*)": lambda problem, why: (
        setattr(problem, "no_class", why)
    ),
    r"Not a valid subclass of": _no_subclass,
}
"""Line of the text -> what it says of the problem."""


def _unknown(name: str, problem: _Problem, parser: ArgumentParser, arguments: Sequence[str]) -> str:
    if name.startswith("-"):
        options = [option for action in parser._actions for option in action.option_strings]
        return f"{name}: no such option{meant(name, options)}"
    known = (
        settings_of_class(problem.class_path)
        if problem.class_path
        else settings_of_parser(parser, problem.keys)
    )
    # Of a path, the first component that is not known is the wrong one.
    parts = name.split(".")
    wrong = (
        next(i for i in range(1, len(parts) + 1) if ".".join(parts[:i]) not in leading_parts(known))
        if name not in known
        else len(parts)
    )
    bad = ".".join(parts[:wrong])
    near = meant(bad, leading_parts(known, wrong))
    shown = _where(replace(problem, keys=[*problem.keys, bad]), arguments)
    owner = f" of {problem.class_path}" if problem.class_path else ""
    return f"{shown}: no such setting{owner}{near}"


def _where(problem: _Problem, arguments: Sequence[str]) -> str:
    """The setting as an option if it was given as one, else its place in a file."""
    if not problem.keys:
        return ""
    *outer, last = problem.keys
    between = ["init_args"] if problem.class_path and outer else []
    option = "--" + ".".join([*outer, *between, last])
    if option in [argument.partition("=")[0] for argument in arguments]:
        return option
    return str(find_key(config_files(arguments), last, outer) or option)


def _as_option(name: str, parser: ArgumentParser) -> str:
    options = [f"--{name}", f"--{name.replace('_', '-')}"]
    taken = [option for action in parser._actions for option in action.option_strings]
    return next((option for option in options if option in taken), name)


def _type(text: str) -> str:
    if literal := re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", text):
        return "one of " + literal[1].replace("'", "").replace('"', "")
    name = re.sub(r"<class '([^']+)'>", lambda found: found[1].rpartition(".")[2], text)
    return _TYPES.get(name, _TYPES.get(name.partition("[")[0], name))


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN_CHARS else value[: _SHOWN_CHARS - 3] + "..."
