"""Where the parts of a draft come from: one entry for the draft, one child for each part."""

from typing import NamedTuple

from semihvision.annotation.draft import Draft
from semihvision.core.record import (
    Gate,
    Provenance,
    Record,
    Retrieved,
)


class Judged(NamedTuple):
    """A part of a draft and what the gates say of it."""

    part_id: str
    gates: tuple[Gate, ...]


def origin_id(draft: Draft) -> str:
    """Id of the provenance entry of a whole draft; the same draft always has the same."""
    return f"gen-{draft.key[:16]}"


def provenance_of(
    record: Record, draft: Draft, origin: str, kept: list[Judged]
) -> list[Provenance]:
    """The entry of the draft, then one child for each part that was kept."""
    shown, total = len(draft.image_ids), len(record.images)
    withheld = ", ".join(sorted(set(draft.withheld)))
    whole = (
        Gate(
            name="all_images_shown",
            passed=shown == total,
            detail="" if shown == total else f"{shown} of {total}",
        ),
        Gate(
            name="context_permitted",
            passed=not withheld,
            detail=f"withheld by policy: {withheld}" if withheld else "",
        ),
    )
    first = Provenance(
        provenance_id=origin,
        producer=draft.producer,
        model=draft.model,
        prompt_hash=draft.prompt_hash,
        retrieved=tuple(
            Retrieved(ref=item.ref, kind=item.kind, score=item.score, sources=item.sources)
            for item in draft.context
        ),
        tokens_in=draft.tokens_in,
        tokens_out=draft.tokens_out,
        cost_usd=draft.cost_usd,
        created_at=draft.created_at,
        gates=whole,
    )
    children = [
        Provenance(
            provenance_id=entry_id(one.part_id),
            parent_id=origin,
            producer=draft.producer,
            model=draft.model,
            prompt_hash=draft.prompt_hash,
            created_at=draft.created_at,
            gates=one.gates,
        )
        for one in kept
    ]
    return [first, *children]


def entry_id(part_id: str) -> str:
    """Id of the entry of a part."""
    return f"{part_id}-p"
