"""A draft becomes part of its record: gates, ids, conversations, provenance."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from semihvision.annotation.draft import Draft, DraftQA
from semihvision.annotation.gates import Evidence, check, evidence, refused_by
from semihvision.annotation.provenance import Judged, entry_id, origin_id, provenance_of
from semihvision.annotation.settings import AnnotationSettings
from semihvision.core.errors import RefusedItem
from semihvision.core.hashing import hash_text
from semihvision.core.record import (
    QA,
    Conversation,
    ConversationTurn,
    Gate,
    Record,
    Text,
)
from semihvision.core.splits import strictest_split

REQUEST = "Describe the findings in {these}."
"""First turn of a conversation (paper.md 1.5 asks for the image findings; the wording is ours)."""


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A record with a draft worked in.

    Attributes:
        record: The record; unchanged where nothing was left of the draft.
        gates: Every gate outcome, of kept and refused parts.
        refused: Parts that a gate kept out.
    """

    record: Record
    gates: tuple[Gate, ...]
    refused: tuple[RefusedItem, ...]


_SplitPart = TypeVar("_SplitPart", QA, Conversation)


def assemble(record: Record, draft: Draft, settings: AnnotationSettings) -> Assembled:
    """Appends what passes the gates to a record; nothing that was there changes.

    One provenance entry stands for the whole draft (tokens, cost, prompt, retrieved items), one
    child entry for each part, with that part's gates. A record that already holds this very draft
    is returned as it is. Questions and conversations get the split that everything made from the
    record's images has: one test question makes them test.
    """
    origin = origin_id(draft)
    if any(entry.provenance_id == origin for entry in record.provenance):
        return Assembled(record=record, gates=(), refused=())
    own = evidence(record, settings)
    judged: list[Judged] = []
    texts = _caption(draft, origin, own, settings, judged)
    qa = _questions(record, draft, origin, own, settings, judged)
    unverified = {
        one.part_id
        for one in judged
        if any(g.name == "supported" and not g.passed for g in one.gates)
    }
    conversations = _conversations(texts, qa, origin, unverified, judged)
    split = strictest_split(record)
    kept = [one for one in judged if not refused_by(one.gates)]
    changed = record
    if texts or qa:
        changed = record.edited(
            texts=(*record.texts, *texts),
            qa=(*record.qa, *_in_split(qa, split)),
            conversations=(*record.conversations, *_in_split(conversations, split)),
            provenance=(*record.provenance, *provenance_of(record, draft, origin, kept)),
        )
    return Assembled(
        record=changed,
        gates=tuple(gate for one in judged for gate in one.gates),
        refused=tuple(_refused(record, one) for one in judged if refused_by(one.gates)),
    )


def _caption(
    draft: Draft,
    origin: str,
    own: Evidence,
    settings: AnnotationSettings,
    judged: list[Judged],
) -> list[Text]:
    part = f"{origin}-caption"
    gates = check(
        [draft.caption],
        draft.caption_image_ids,
        seen=False,
        draft=draft,
        own=own,
        settings=settings,
    )
    judged.append(Judged(part, gates))
    if refused_by(gates):
        return []
    return [
        Text(
            text_id=part,
            kind="caption",
            text=draft.caption.strip(),
            language=draft.language,
            image_ids=draft.caption_image_ids,
            provenance_id=entry_id(part),
        )
    ]


def _questions(
    record: Record,
    draft: Draft,
    origin: str,
    own: Evidence,
    settings: AnnotationSettings,
    judged: list[Judged],
) -> list[QA]:
    seen = {_question_key(qa) for qa in record.current(record.qa)}
    kept = []
    for number, qa in enumerate(draft.qa, start=1):
        duplicate = _question_key(qa) in seen
        gates = check(
            [qa.question, qa.answer],
            qa.image_ids,
            seen=duplicate,
            draft=draft,
            own=own,
            settings=settings,
        )
        content = "\n".join((qa.question, qa.answer, *qa.image_ids))
        # The number keeps a refused repetition apart from the question it repeats.
        part = f"{origin}-qa{number}-{hash_text(content)[:8]}"
        judged.append(Judged(part, gates))
        if refused_by(gates):
            continue
        seen.add(_question_key(qa))
        kept.append(
            QA(
                qa_id=part,
                question=qa.question.strip(),
                answer=qa.answer.strip(),
                answer_type=qa.answer_type,
                image_ids=qa.image_ids,
                provenance_id=entry_id(part),
            )
        )
    return kept


def _in_split(parts: list[_SplitPart], split: str) -> list[_SplitPart]:
    return [part.model_copy(update={"split": split}) for part in parts]


def _question_key(qa: QA | DraftQA) -> tuple[str, frozenset[str]]:
    return " ".join(qa.question.lower().split()).rstrip(" ?."), frozenset(qa.image_ids)


def _conversations(
    texts: list[Text],
    questions: list[QA],
    origin: str,
    unverified: set[str],
    judged: list[Judged],
) -> list[Conversation]:
    """One conversation for each set of images: the caption first, then its questions."""
    groups: dict[tuple[str, ...], list[tuple[str, str, str]]] = {}
    for text in texts:
        these = "this image" if len(text.image_ids) == 1 else "these images"
        request = REQUEST.format(these=these if text.image_ids else "this case")
        groups.setdefault(text.image_ids, []).append((text.text_id, request, text.text))
    for qa in questions:
        groups.setdefault(qa.image_ids, []).append((qa.qa_id, qa.question, qa.answer))
    made = []
    for number, (image_ids, exchanges) in enumerate(groups.items(), start=1):
        part = f"{origin}-conversation{number}"
        doubtful = any(part_id in unverified for part_id, _, _ in exchanges)
        detail = "holds an unverified part" if doubtful else ""
        judged.append(Judged(part, (Gate(name="supported", passed=not doubtful, detail=detail),)))
        made.append(
            Conversation(
                conversation_id=part,
                turns=_turns(exchanges, len(image_ids)),
                image_ids=image_ids,
                provenance_id=entry_id(part),
            )
        )
    return made


def _turns(
    exchanges: Iterable[tuple[str, str, str]], num_images: int
) -> tuple[ConversationTurn, ...]:
    turns: list[ConversationTurn] = []
    for _, request, answer in exchanges:
        marks = "<image>\n" * num_images if not turns else ""
        turns.append(ConversationTurn(role="human", text=marks + _unmarked(request)))
        turns.append(ConversationTurn(role="gpt", text=_unmarked(answer)))
    return tuple(turns)


def _unmarked(text: str) -> str:
    """A text that happens to spell the placeholder must not count as an image."""
    return text.replace("<image>", "image")


def _refused(record: Record, one: Judged) -> RefusedItem:
    failed = refused_by(one.gates)[0]
    return RefusedItem(
        item=f"{record.record_id}#{one.part_id}",
        reason=f"gate {failed.name}: {failed.detail}",
        kind=failed.name,
    )
