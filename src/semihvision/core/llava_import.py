"""LLaVA/Cambrian training files into Records: our own exports, and files from elsewhere.

The form and its sources: `semihvision.core.llava`. Oddities of files from elsewhere are taken as
Cambrian's loader takes them, and noted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import hash_image, probe_image
from semihvision.core.llava import PLACEHOLDER, Row, row_of
from semihvision.core.paths import inside
from semihvision.core.record import (
    QA,
    Conversation,
    ConversationTurn,
    ImageRef,
    Licence,
    Provenance,
    Record,
    invalid_reason,
)
from semihvision.core.tables import json_rows, jsonl_rows

NO_IMAGE = ("", "none", "nan")
"""Texts of `image`, in lower case, that mean there is none."""

_ROLES = {
    "human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "system": "system",
}  # fmt: skip
_TURN_KEYS = ("conversations", "conversatons")
_KNOWN_KEYS = {"id", "image", "record", "answer_type", "question_type", *_TURN_KEYS}


@dataclass(frozen=True, kw_only=True)
class Stranger:
    """What a line from elsewhere cannot say of itself.

    Attributes:
        source: Source name.
        licence: Licence of its record.
        origin: Who made the conversations.
    """

    source: str
    licence: Licence
    origin: Provenance


def import_records(
    path: Path, *, root: Path, stranger: Stranger, refused: RefusalLog
) -> Iterator[Record]:
    """Yields the records of a training file.

    Lines that this project wrote and that belong to one record become one record again; any other
    line becomes a record of its own.

    Args:
        path: JSON lines, or one JSON array if the name ends with ``.json``.
        root: Folder that image paths are relative to.
        stranger: What to say of lines that this project did not write.
        refused: Gets lines that cannot be used, and notes on what was dropped from others.
    """
    rows: Iterable[tuple[int, Any]] = (
        enumerate(json_rows(path), start=1) if path.suffix == ".json" else jsonl_rows(path, refused)
    )
    made = _line_records(rows, path.name, root, stranger, refused)
    for _, same in groupby(made, key=lambda record: record.record_id):
        yield _merged(list(same))


def _merged(same: list[Record]) -> Record:
    """One record with the parts of all."""
    if len(same) == 1:
        return same[0]
    return same[0].edited(
        images=_distinct(image for record in same for image in record.images),
        provenance=_distinct(origin for record in same for origin in record.provenance),
        qa=_distinct(question for record in same for question in record.qa),
        conversations=_distinct(talk for record in same for talk in record.conversations),
    )


def _distinct(parts: Iterable[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    for part in parts:
        if part not in found:
            found.append(part)
    return tuple(found)


def _line_records(
    rows: Iterable[tuple[int, Any]],
    file: str,
    root: Path,
    stranger: Stranger,
    refused: RefusalLog,
) -> Iterator[Record]:
    for number, row in rows:
        item = f"line {number}"
        try:
            if not isinstance(row, dict):
                raise InputError("expected an object", kind="broken_json")
            if "record" in row:
                yield _own_record(row, root)
                continue
            turns = turns_of(row, item, file, refused)
            _note_unknown_keys(row, item, file, refused)
            yield _foreign_record(row, turns, number, root, stranger)
        except ValidationError as error:
            refused.add(item, reason=invalid_reason(error), kind="invalid_record", file=file)
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=file)


def _own_record(row: Row, root: Path) -> Record:
    """The record of a line that this project wrote, if line and files are still what they were."""
    record = Record.model_validate(row["record"])
    parts: tuple[QA | Conversation, ...] = record.qa + record.conversations
    if len(parts) != 1 or row_of(record, parts[0]) != row:
        raise InputError(
            "`record` and the rest of the line disagree; remove the key `record` to import an "
            "edited line as it stands",
            kind="edited_line",
        )
    for image in record.images:
        path = inside(root, image.path)
        if not path.is_file():
            raise InputError(f"{image.path}: no such image below {root}", kind="missing_image")
        if image.sha256 and hash_image(path, image) != image.sha256:
            raise InputError(f"{image.path}: SHA-256 differs from the record", kind="changed_image")
    return record


def turns_of(row: Row, item: str, file: str, refused: RefusalLog) -> list[ConversationTurn]:
    """The turns of a LLaVA row in our roles, system first if there is one, then in turn.

    Args:
        row: Object with `conversations` (also misspelt `conversatons`).
        item: Its name in `refused`.
        file: The file it stands in.
        refused: Gets a note where a leading gpt turn is dropped.

    Raises:
        InputError: No turns, an unknown role, a turn without text, or turns that do not alternate.
    """
    entries = next((row[key] for key in _TURN_KEYS if key in row), None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("conversations: expected a list of turns", kind="invalid_row")
    turns = []
    for entry in entries:
        role = _ROLES.get(str(entry.get("from", entry.get("role", ""))).lower())
        value = entry.get("value", entry.get("content"))
        if role is None or not isinstance(value, str):
            raise InputError("a turn without a known role or a text", kind="invalid_row")
        turns.append(ConversationTurn.model_validate({"role": role, "text": value}))
    first = 1 if turns and turns[0].role == "system" else 0
    if len(turns) > first and turns[first].role == "gpt":
        reason = "the leading gpt turn was dropped, the rest is kept (as Cambrian does)"
        refused.add(item, reason=reason, kind="leading_gpt_turn", file=file)
        del turns[first]
    expected = ["human", "gpt"] * len(turns)
    roles = [turn.role for turn in turns[first:]]
    if len(roles) < 2 or roles != expected[: len(roles)]:
        raise InputError("turns do not alternate between human and gpt", kind="turn_order")
    return turns


def _foreign_record(
    row: Row, turns: list[ConversationTurn], number: int, root: Path, stranger: Stranger
) -> Record:
    images = _images(row, root)
    found = sum(turn.text.count(PLACEHOLDER) for turn in turns)
    if found != len(images):
        raise InputError(
            f"{found} {PLACEHOLDER} placeholders for {len(images)} images", kind="placeholder_count"
        )
    name = str(row.get("id") or f"line{number}")
    shared: dict[str, Any] = {
        "image_ids": tuple(image.image_id for image in images),
        "provenance_id": stranger.origin.provenance_id,
    }
    fields: dict[str, Any] = {}
    if len(turns) == 2 and ("answer_type" in row or "question_type" in row):
        question = QA(
            qa_id=name,
            question=turns[0].text.replace(PLACEHOLDER, "").strip(),
            answer=turns[1].text.strip(),
            answer_type=str(row.get("answer_type", "")).strip(),
            question_type=str(row.get("question_type", "")),
            **shared,
        )
        fields["qa"] = (question,)
    else:
        talk = Conversation(conversation_id=name, turns=tuple(turns), **shared)
        fields["conversations"] = (talk,)
    return Record(
        record_id=f"{stranger.source}/{name}",
        source=stranger.source,
        group_id=images[0].path if images else name,
        images=tuple(images),
        provenance=(stranger.origin,),
        licence=stranger.licence,
        **fields,
    )


def _images(row: Row, root: Path) -> list[ImageRef]:
    value = row.get("image")
    paths = value if isinstance(value, list) else [value]
    named = [str(path) for path in paths if path is not None and path == path]
    named = [path for path in named if path.strip().lower() not in NO_IMAGE]
    return [
        probe_image(root, path, image_id=f"image {number}")
        for number, path in enumerate(named, start=1)
    ]


def _note_unknown_keys(row: Row, item: str, file: str, refused: RefusalLog) -> None:
    unknown = len(set(row) - _KNOWN_KEYS)
    if unknown:
        reason = f"keys without a place in a Record were left out: {unknown}"
        refused.add(item, reason=reason, kind="unknown_key", file=file)
