"""Files of conversations, one row a record: what their readers share."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_modules.reading import valid_record
from semihvision.core.digest_set import DigestSet
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_stream import object_rows
from semihvision.core.record import Record

Row = dict[str, Any]

_ID = re.compile(r"[\w.:-]{1,128}")


def dialogue_records(
    path: Path,
    refused: RefusalLog,
    *,
    prefix: str,
    seen: DigestSet,
    id_of: Callable[[Row, str], str],
    fields_of: Callable[[Row, str], dict[str, Any]],
) -> Iterator[Record]:
    """Yields a record for each row; one row is held at a time.

    Args:
        path: JSON array or JSON lines.
        refused: Gets rows that cannot be used, with the reason.
        prefix: Of record ids.
        seen: Ids that were used already; theirs are added.
        id_of: The owners' id, from a row and its place.
        fields_of: The other fields of the record, likewise.

    Raises:
        InputError: The file is no JSON.
    """
    for item, row in object_rows(path, refused):
        try:
            name, fields = id_of(row, item), fields_of(row, item)
            if not _ID.fullmatch(name):
                raise InputError(
                    "id: expected 1 to 128 letters, digits or . _ : -", kind="invalid_row"
                )
            if not seen.add(name):
                raise InputError("this id was already used", kind="repeated_id")
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=path.name)
            continue
        record = valid_record(item, refused, file=path.name, record_id=prefix + name, **fields)
        if record is not None:
            yield record
