"""What a run would do and cost, without asking any model."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from semihvision.annotation.draft import Task
from semihvision.annotation.model import ModelProducer
from semihvision.annotation.paths import choose_path
from semihvision.annotation.prompts import render
from semihvision.annotation.settings import AnnotationPath, AnnotationSettings
from semihvision.annotation.store import finished_keys, store_path
from semihvision.annotation.worklist import work_key
from semihvision.core.card import card
from semihvision.core.lineage import sources_of
from semihvision.core.parquet import read_records
from semihvision.core.policy import Permission, may_send
from semihvision.core.record import ImageRef, Record

if TYPE_CHECKING:
    from semihvision.llm.client import LLMClient

_CHARS_PER_TOKEN = 4
_TILE_PX, _SHORT_SIDE_PX, _TILE_TOKENS, _IMAGE_TOKENS = 512, 768, 170, 85


class SourceVerdict(NamedTuple):
    """Whether records that derive from a source may go to the endpoint."""

    source: str
    records: int
    allowed: bool
    reason: str


@dataclass(kw_only=True)
class Plan:
    """What would be sent.

    Attributes:
        endpoint: Base URL; empty for the template producer, which sends nothing.
        records: Records in the file.
        by_path: Records by annotation path; ``none`` for those no rule matches.
        verdicts: The policy's answer for each source that records derive from.
        requests: Requests that would be sent: those the policy lets through, not yet finished.
        finished: Records that an earlier run has finished.
        tokens_in: Estimated prompt tokens: four characters a token, and OpenAI's published rule
            for images (85, and 170 for each tile of 512 pixels after fitting the short side into
            768). Other models count differently.
        tokens_out_at_most: `max_tokens` for each request; replies are usually shorter.
        cost_usd_at_most: From these two; None where no price is set.
    """

    endpoint: str = ""
    records: int = 0
    by_path: Counter[str] = field(default_factory=Counter)
    verdicts: list[SourceVerdict] = field(default_factory=list)
    requests: int = 0
    finished: int = 0
    tokens_in: int = 0
    tokens_out_at_most: int = 0
    cost_usd_at_most: float | None = None


def plan(
    records: Path,
    *,
    settings: AnnotationSettings,
    client: "LLMClient | None" = None,
    permissions: Sequence[Permission] = (),
    out: Path | None = None,
    index_sha256: str = "",
) -> Plan:
    """Counts records by path, asks the policy for each source, estimates tokens and cost.

    Nothing is sent and no image is opened. For the path ``retrieve`` the longest possible context
    is counted.

    Args:
        records: Parquet file of Records.
        settings: Rules and limits.
        client: Model and endpoint; None for the template producer.
        permissions: The user's statements.
        out: Output of the run; work that its store holds already is not counted.
        index_sha256: Identity of the index of the run.
    """
    made = Plan(endpoint=client.endpoint if client else "")
    producer = ModelProducer(client, settings) if client else None
    done = finished_keys(store_path(out)) if out and client else set()
    verdicts: dict[tuple[str, tuple[str, ...]], SourceVerdict] = {}
    for record in read_records(records):
        made.records += 1
        path = choose_path(record, settings)
        made.by_path[path or "none"] += 1
        own = {record.source: record.licence.conditions}
        asked = [(source, own.get(source, ())) for source in sources_of(record)]
        for one in asked:
            known = verdicts.get(one) or _verdict(*one, made.endpoint, permissions)
            verdicts[one] = known._replace(records=known.records + 1)
        allowed = all(verdicts[one].allowed for one in asked)
        if path is None or producer is None or not allowed:
            continue
        if work_key(record, path, producer, index_sha256) in done:
            made.finished += 1
            continue
        made.requests += 1
        made.tokens_in += _tokens(record, path, settings)
    made.verdicts = _by_answer(verdicts.values())
    if client is not None:
        made.tokens_out_at_most = made.requests * client.settings.max_tokens
        made.cost_usd_at_most = client.settings.cost_usd(made.tokens_in, made.tokens_out_at_most)
    return made


def _verdict(
    source: str, own: tuple[str, ...], endpoint: str, permissions: Sequence[Permission]
) -> SourceVerdict:
    if not endpoint:
        return SourceVerdict(source, 0, True, "nothing is sent")
    found = may_send(card(source), endpoint, permissions, own)
    return SourceVerdict(source, 0, found.allowed, found.reason)


def _tokens(record: Record, path: AnnotationPath, settings: AnnotationSettings) -> int:
    images = record.images[: settings.max_images]
    system, user = render(Task(key="", record=record, path=path, images=images), settings)
    characters = len(system) + len(user)
    if path == "retrieve":
        characters += (settings.cases + settings.guidelines) * settings.context_chars
    text_tokens = math.ceil(characters / _CHARS_PER_TOKEN)
    return text_tokens + sum(_image_tokens(image, settings.image_size_px) for image in images)


def _image_tokens(image: ImageRef, longest_px: int) -> int:
    scale = min(1.0, longest_px / max(image.width, image.height))
    short = min(image.width, image.height) * scale
    scale *= min(1.0, _SHORT_SIDE_PX / short)
    tiles = math.ceil(image.width * scale / _TILE_PX) * math.ceil(image.height * scale / _TILE_PX)
    return _IMAGE_TOKENS + _TILE_TOKENS * tiles


def _by_answer(verdicts: Iterable[SourceVerdict]) -> list[SourceVerdict]:
    """One entry for every source and answer: records of a source may have terms of their own."""
    records: Counter[tuple[str, bool, str]] = Counter()
    for one in verdicts:
        records[one.source, one.allowed, one.reason] += one.records
    return [
        SourceVerdict(source, number, allowed, reason)
        for (source, allowed, reason), number in records.items()
    ]
