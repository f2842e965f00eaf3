"""What every room of the house shares: the Record, cards, policy, image reading, errors.

`semihvision.core.Record` is imported on first use, so that commands which need no Record do not
load pydantic.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semihvision.core.record import Record

__all__ = ["Record"]


def __getattr__(name: str) -> Any:
    if name == "Record":
        from semihvision.core.record import Record

        return Record
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
