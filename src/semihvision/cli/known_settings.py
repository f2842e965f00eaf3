"""Which settings and classes are known, and which of them somebody may have meant."""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from jsonargparse import ArgumentParser

from semihvision.core.near_names import did_you_mean

_MAX_NAMED = 20


def leading_parts(known: Iterable[str], length: int | None = None) -> list[str]:
    """All leading parts of the known paths, or those of a certain number of components."""
    found: dict[str, None] = {}
    for path in known:
        parts = path.split(".")
        for i in range(1, len(parts) + 1) if length is None else (min(length, len(parts)),):
            found[".".join(parts[:i])] = None
    return list(found)


def settings_of_parser(parser: ArgumentParser, group: Sequence[str]) -> list[str]:
    """Names that a parser takes below a group of settings."""
    prefix = "".join(f"{key}." for key in group)
    names = [action.dest for action in parser._actions]
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def settings_of_class(class_path: str) -> list[str]:
    """Names that a class takes."""
    return _of_module(class_path, lambda module, name: _arguments(getattr(module, name)))


def _arguments(owner: type) -> list[str]:
    added = ArgumentParser().add_class_arguments(owner, fail_untyped=False)
    return [name.partition(".")[0] for name in added]


def classes_beside(class_path: str) -> list[str]:
    """What the module of a class that is not there offers."""
    package = class_path.rpartition(".")[0]
    return _of_module(
        class_path,
        lambda module, _: [f"{package}.{name}" for name in getattr(module, "__all__", ())],
    )


def _of_module(class_path: str, ask: Callable[..., list[str]]) -> list[str]:
    module, _, name = class_path.rpartition(".")
    try:
        return ask(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return []


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a message: the known name nearest to a wrong one, or all where they are few."""
    names = list(known)
    listed = f"; known: {', '.join(names)}" if 0 < len(names) <= _MAX_NAMED else ""
    return did_you_mean(name, names) or listed
