"""May this record go to that endpoint? One pure function, asked before any socket is opened.

Rule: an endpoint on this machine (loopback) is local and always allowed. Everywhere else the
connection must be encrypted (https), and the source's card, the record's own licence and the user
must all allow it: the user by a `Permission` for that source and that very endpoint, which states
every condition of the card and of the record. An owner may have said more about a single record
(`RECORD_TERMS`): what the owner refuses, no statement of the user permits.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from semihvision.core.card import Card
from semihvision.core.errors import InputError, PolicyError

CONDITIONS: dict[str, str] = {
    "zero_retention": "the endpoint keeps neither requests nor replies",
    "no_training": "the endpoint's provider trains nothing on them",
    "no_human_review": "nobody at the provider reads them",
    "owner_permission": "the owner has given you written permission for this use",
    "agreement_allows": "your signed data use agreement allows third-party processing",
    "institution_approval": "your institution has approved sending these images there",
}
"""Every condition a card may set, and what the user states by naming it."""

OWNER_PERMITTED, OWNER_REFUSED = "owner_permitted", "owner_refused"
RECORD_TERMS: dict[str, str] = {
    OWNER_PERMITTED: "the owner has permitted hosted models for this record: `owner_permission` is "
    "met",
    OWNER_REFUSED: "the owner refuses hosted models for this record",
}
"""What may stand among a record's own conditions beside these, from an explicit list of its
source; none of it can be stated by the user."""
_UNKNOWN = "a condition of the record's own licence that is not known here and cannot be stated"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """The user's own statement that a source's data may go to one endpoint.

    Attributes:
        source: Source name.
        endpoint: Base URL of the endpoint, compared by scheme, host, port and path.
        states: Names from `CONDITIONS` that hold for this source at this endpoint.
        note: For the user's own records, e.g. the number of an agreement.
    """

    source: str
    endpoint: str
    states: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.states) - set(CONDITIONS))
        if unknown:
            raise InputError(
                f"permission for {self.source!r}: unknown conditions {', '.join(unknown)}; "
                f"known: {', '.join(CONDITIONS)}"
            )


class Verdict(NamedTuple):
    """Answer of the policy; `reason` says why, and how to permit what was refused."""

    allowed: bool
    reason: str


def is_loopback(endpoint: str) -> bool:
    """Whether a base URL names this very machine.

    Only the literal host counts (``localhost``, 127.0.0.0/8, ::1); no name is ever resolved, so a
    name that happens to point at this machine is treated as remote, and so is every URL that
    parsers are known to read in different ways (with a user name, blanks or backslashes).
    """
    try:
        scheme, host, _, _ = _parts(endpoint)
    except InputError:
        return False
    if scheme not in ("http", "https") or "@" in endpoint:
        return False
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def require_encryption(endpoint: str) -> None:
    """Refuses an endpoint on another machine that is not reached by https.

    Raises:
        PolicyError: Messages, replies and the key would travel in clear.
    """
    if not is_loopback(endpoint) and _parts(endpoint)[0] != "https":
        raise PolicyError(
            f"nothing is sent to {_shown(endpoint)}: the connection is not encrypted, and "
            "everybody on the way could read it. Use an https:// address; plain http:// is for "
            "this machine only (localhost, 127.0.0.1, ::1)"
        )


def conditions_of(card: Card, own: Sequence[str] = ()) -> tuple[str, ...]:
    """What the user must state before a record goes to a hosted model.

    Args:
        card: Card of its source.
        own: Conditions of the record's own licence; they add to the card's. `OWNER_PERMITTED` takes
            away `owner_permission`, and nothing else.
    """
    met = {"owner_permission"} if OWNER_PERMITTED in own else set()
    asked = dict.fromkeys((*card.api_conditions, *own))
    return tuple(name for name in asked if name not in met and name not in RECORD_TERMS)


def may_send(
    card: Card, endpoint: str, permissions: Sequence[Permission], own: Sequence[str] = ()
) -> Verdict:
    """Decides whether data or derivatives of a source may go to an endpoint.

    Args:
        card: Card of the source.
        endpoint: Base URL, e.g. ``https://api.example.org/v1``.
        permissions: The user's statements, from the configuration.
        own: Conditions of the licence of the record itself (`Licence.conditions`).
    """
    if is_loopback(endpoint):
        return Verdict(True, "local endpoint")
    try:
        require_encryption(endpoint)
    except PolicyError as error:
        return Verdict(False, f"{card.name}: {error}")
    if OWNER_REFUSED in own:
        return Verdict(False, f"{card.name}: {RECORD_TERMS[OWNER_REFUSED]}; nothing permits it")
    conditions = conditions_of(card, own)
    setting = f"permissions: [{{source: {card.name}, endpoint: {_shown(endpoint)}, states: ["
    setting += ", ".join(conditions) + "]}]"
    granted = [
        permission
        for permission in permissions
        if permission.source == card.name and _same_endpoint(permission.endpoint, endpoint)
    ]
    if not granted:
        return Verdict(
            False,
            f"{card.name}: nothing is sent to {_shown(endpoint)} without your permission. "
            f"{card.api_clause} See {card.licence_url or card.url}. "
            f"If you may, state it in the configuration: {setting}",
        )
    stated = set().union(*(permission.states for permission in granted))
    missing = [name for name in conditions if name not in stated]
    if missing:
        wanted = "; ".join(f"{name} ({CONDITIONS.get(name, _UNKNOWN)})" for name in missing)
        return Verdict(
            False,
            f"{card.name}: the permission for {_shown(endpoint)} does not state {wanted}. "
            f"{card.api_clause} See {card.licence_url or card.url}. Setting: {setting}",
        )
    return Verdict(True, f"permitted by the user's statement for {_shown(endpoint)}")


def require_may_send(
    card: Card, endpoint: str, permissions: Sequence[Permission], own: Sequence[str] = ()
) -> None:
    """Raises `PolicyError` with the reason unless `may_send` allows it."""
    verdict = may_send(card, endpoint, permissions, own)
    if not verdict.allowed:
        raise PolicyError(verdict.reason)


def _parts(endpoint: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path; the default port is filled in, a trailing slash removed."""
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or not re.fullmatch(r"[!-\[\]-~]+", endpoint):
        # The value is not shown: a misplaced key is a likely mistake here.
        raise InputError("the endpoint is no base URL such as https://api.example.org/v1")
    default = {"https": 443, "http": 80}.get(url.scheme)
    return (url.scheme, host, port or default, url.path.rstrip("/"))


def _same_endpoint(one: str, other: str) -> bool:
    return _parts(one) == _parts(other)


def _shown(endpoint: str) -> str:
    """The endpoint without user name, password and query, which may hold a key."""
    scheme, host, port, path = _parts(endpoint)
    return f"{scheme}://{host}:{port}{path}"
