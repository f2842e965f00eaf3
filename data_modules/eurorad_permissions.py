"""Eurorad's list of authors' permissions, as a user keeps it (form: `data_modules.eurorad`)."""

import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.policy import OWNER_PERMITTED, OWNER_REFUSED
from semihvision.core.tables import csv_rows

CASE_ID = re.compile(r"[\w.-]{1,64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HOSTED = {"yes": OWNER_PERMITTED, "no": OWNER_REFUSED, "": "owner_permission"}
"""The author's answer about hosted models -> what stands in the record's licence."""
_STRICTEST_FIRST = (OWNER_REFUSED, "owner_permission", OWNER_PERMITTED)


class Grant(NamedTuple):
    """An author's permission: its day, and its term for hosted models."""

    day: date
    term: str


def read_permissions(path: Path, refused: RefusalLog) -> dict[str, Grant]:
    """The permission of each case that has one.

    Of rows that say different things about one case the strictest holds, whatever their order; the
    others are refused.

    Args:
        path: CSV file.
        refused: Gets rows that cannot be used.

    Raises:
        InputError: There is no such file, or it lacks a column.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such list of permissions")
    granted: dict[str, Grant] = {}
    for line, row in csv_rows(path, ("case_id", "granted_by", "granted_on"), refused):
        try:
            if not CASE_ID.fullmatch(row["case_id"].strip()) or not row["granted_by"].strip():
                raise InputError("expected a case_id and who granted it", kind="invalid_row")
            answer = row.get("hosted_models", "").strip().lower()
            if answer not in _HOSTED:
                raise InputError("hosted_models: expected yes, no or nothing", kind="invalid_row")
            day = day_of(row["granted_on"].strip(), "granted_on")
            case_id, grant = row["case_id"].strip(), Grant(day, _HOSTED[answer])
            known = granted.setdefault(case_id, grant)
            granted[case_id] = min(known, grant, key=lambda one: _STRICTEST_FIRST.index(one.term))
            if known != grant:
                reason = "a row before says something else of this case; the strictest holds"
                raise InputError(reason, kind="contradicting_rows")
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=path.name)
    return granted


def day_of(text: str, name: str) -> date:
    """The day that a cell or field of that name holds.

    Raises:
        InputError: None in the form YYYY-MM-DD.
    """
    if not _DAY.fullmatch(text):
        raise InputError(f"{name}: expected YYYY-MM-DD", kind="no_date")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{name}: expected YYYY-MM-DD", kind="no_date") from None
