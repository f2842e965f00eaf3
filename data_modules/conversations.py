"""LLaVA rows as some owners ship them, as conversations about images."""

from collections.abc import Sequence
from typing import Any

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.llava import PLACEHOLDER
from semihvision.core.llava_import import turns_of
from semihvision.core.reasons import json_kind
from semihvision.core.record import Conversation, ConversationTurn


def conversation_of(
    row: dict[str, Any],
    image_ids: Sequence[str],
    *,
    item: str,
    file: str,
    refused: RefusalLog,
    provenance_id: str,
) -> Conversation:
    """The conversation of a row.

    A row that shows its images nowhere (PubMedVision) shows them before its first question.

    Args:
        row: Object with `conversations`.
        image_ids: Images of the row, in order.
        item: Its name in `refused`.
        file: The file it stands in.
        refused: Gets notes.
        provenance_id: Origin of the turns.

    Raises:
        InputError: No usable turns, or another number of placeholders than of images.
    """
    turns = turns_of(row, item, file, refused)
    found = sum(turn.text.count(PLACEHOLDER) for turn in turns)
    if not found and image_ids:
        first = next(n for n, turn in enumerate(turns) if turn.role == "human")
        shown = (PLACEHOLDER + "\n") * len(image_ids) + turns[first].text
        turns[first] = ConversationTurn(role="human", text=shown)
    elif found != len(image_ids):
        raise InputError(
            f"{found} {PLACEHOLDER} placeholders for {len(image_ids)} images",
            kind="placeholder_count",
        )
    if not all(turn.text.replace(PLACEHOLDER, "").strip() for turn in turns):
        raise InputError("a turn without text", kind="invalid_row")
    return Conversation(
        conversation_id="conversation",
        turns=tuple(turns),
        image_ids=tuple(image_ids),
        provenance_id=provenance_id,
    )


def text_of(row: dict[str, Any], key: str) -> str:
    """A text of a row without blanks around it; a number (an id) as text; empty if absent.

    Raises:
        InputError: Another kind of value.
    """
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{key}: found {json_kind(value)}, expected a text", kind="invalid_row")
    return str(value).strip()
