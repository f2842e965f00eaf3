"""LLaVA/Cambrian training files: one JSON object a line, out of Records.

The form: optional `id`, optional `image` (a path, or a list of them), `conversations` =
[{from: human|gpt, value}] in turn, human first, with ``<image>`` in the text for each image.
Export writes questions as two turns and adds LLaVA-Med's `answer_type` and `question_type`, and one
key `record` with what the form has no place for (ids, split, window, licence, provenance of this
part), so that questions and conversations come back as they were (`semihvision.core.llava_import`).
Regions, labels, texts and what was superseded or rejected are no training samples and stay in
Parquet.

Source: formats.md section 4 (cambrian-mllm/cambrian@539ffc3), LLaVA-Med's downstream files; `role`
in place of `from`: paper.md 1.5.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from semihvision.core.record import (
    DEMO_PRODUCER,
    QA,
    Conversation,
    Provenance,
    Record,
    part_id,
    question_text,
)

PLACEHOLDER = "<image>"

Row = dict[str, Any]


def exported_parts(record: Record, split: str | None = None) -> list[tuple[str, QA | Conversation]]:
    """Current questions and conversations of a record, each with its split.

    Args:
        record: Its split is that of parts that have none of their own.
        split: Only parts of this split, in the owner's word; None for all.
    """
    parts: list[QA | Conversation] = [
        *record.current(record.qa),
        *record.current(record.conversations),
    ]
    known = [(part.split or record.split, part) for part in parts]
    return [(own, part) for own, part in known if split in (None, own)]


def export_lines(records: Iterable[Record], *, split: str | None = None) -> Iterator[str]:
    """JSON lines of current questions and conversations, in record order.

    Args:
        records: Records of any sources; one without questions and conversations gives no line.
        split: As in `exported_parts`.
    """
    for record in records:
        for _, part in exported_parts(record, split):
            yield json.dumps(row_of(record, part), ensure_ascii=False)


def row_of(record: Record, part: QA | Conversation) -> Row:
    """One question or conversation of a record as a line's object."""
    images = [record.image(image_id) for image_id in part.image_ids]
    row: Row = {"id": f"{record.record_id}#{part_id(part)}"}
    if images:
        paths = [image.path for image in images]
        row["image"] = paths[0] if len(paths) == 1 else paths
    if isinstance(part, QA):
        asked = (PLACEHOLDER + "\n") * len(images) + question_text(part)
        turns = [("human", asked), ("gpt", part.answer)]
        row |= {"answer_type": part.answer_type, "question_type": part.question_type}
    else:
        turns = [(turn.role, turn.text) for turn in part.turns]
    row["conversations"] = [{"from": role, "value": value} for role, value in turns]
    own = record.edited(
        images=images,
        regions=(),
        labels=(),
        texts=(),
        qa=(),
        conversations=(),
        provenance=_origins(record, part.provenance_id),
    )
    kind = "qa" if isinstance(part, QA) else "conversations"
    alone = own.edited(**{kind: (part.model_copy(update={"supersedes": ""}),)})
    row["record"] = alone.model_dump(mode="json", exclude_defaults=True)
    return row


def _origins(record: Record, provenance_id: str) -> list[Provenance]:
    """The origin of a synthetic record, then the entry of a part and its ancestors, eldest first.

    Decisions stay with the full record.
    """
    known = {origin.provenance_id: origin for origin in record.provenance}
    chain: list[Provenance] = []
    whole = [origin for origin in record.provenance if origin.producer == DEMO_PRODUCER]
    while provenance_id and len(chain) < len(known):
        chain.append(known[provenance_id].model_copy(update={"decision": "", "subject_id": ""}))
        provenance_id = chain[-1].parent_id
    return [*whole, *chain[::-1]]
