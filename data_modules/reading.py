"""What the readers share: how they are found, the owner as origin, licence, one refused record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from semihvision.core.card import CARD_MODULES, Card, card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.paths import inside
from semihvision.core.record import Licence, Provenance, Record, invalid_reason
from semihvision.core.synthetic import as_synthetic, is_marked

Reader = Callable[[Path, RefusalLog], Iterator[Record]]

_T = TypeVar("_T")

OWNER = Provenance(provenance_id="owner", producer="human")
"""Origin of everything the owner shipped and people wrote."""


def reader_of(source: str, options: Mapping[str, Any] | None = None) -> Reader:
    """The reader of a source, with its options set.

    Args:
        source: Name of a source.
        options: Keyword arguments of its `read`; their values are the reader's to check.

    Raises:
        InputError: No source has that name, it has no reader, or its reader has no such option.
    """
    card(source)
    read = getattr(import_module(CARD_MODULES[source]), "read", None)
    if read is None:
        raise InputError(
            f"{source} has a card but no reader yet; readable: {', '.join(readable())}"
        )
    parameters = signature(read).parameters.values()
    known = [one.name for one in parameters if one.kind is Parameter.KEYWORD_ONLY]
    unknown = sorted(set(options or ()) - set(known))
    if unknown:
        raise InputError(
            f"{source} has no option {', '.join(unknown)}; its options: "
            f"{', '.join(known) or 'none'}"
        )
    return partial(_read, partial(read, **dict(options or {})))


def _read(read: Reader, root: Path, refused: RefusalLog) -> Iterator[Record]:
    """What a reader yields; records of a demo twin say that they are synthetic."""
    made = map(as_synthetic, read(root, refused)) if is_marked(root) else read(root, refused)
    yield from made


def readable() -> list[str]:
    """Names of the sources that have a reader."""
    return [name for name, module in CARD_MODULES.items() if hasattr(import_module(module), "read")]


def licence_of(card: Card) -> Licence:
    """The licence of a record that has the terms of its whole source."""
    return Licence(name=card.licence, url=card.licence_url, conditions=card.api_conditions)


def valid_record(item: str, refused: RefusalLog, *, file: str, **fields: Any) -> Record | None:
    """A validated record, or None with the reason in `refused`."""
    try:
        return Record(**fields)
    except ValidationError as error:
        refused.add(item, reason=invalid_reason(error), kind="invalid_record", file=file)
        return None


def each_table(
    root: Path,
    tables: Sequence[Path],
    refused: RefusalLog,
    rows_of: Callable[[Path], Iterator[_T]],
) -> Iterator[_T]:
    """What several tables hold; one that is unusable is refused as a whole, beside usable ones.

    Args:
        root: Folder that no table may stand outside of.
        tables: Files below it.
        refused: Gets unusable tables, with the reason.
        rows_of: Reads one of them; raises `InputError` where it cannot be used.

    Raises:
        InputError: None is usable.
    """
    broken: list[InputError] = []
    for path in tables:
        try:
            inside(root, path.relative_to(root).as_posix())
            yield from rows_of(path)
        except InputError as error:
            broken.append(error)
            kind = "unusable_table" if error.kind == "unusable" else error.kind
            reason = str(error).removeprefix(f"{path}: ")
            refused.add(path.name, reason=reason, kind=kind, file=path.name)
    if broken and len(broken) == len(tables):
        raise broken[0]
