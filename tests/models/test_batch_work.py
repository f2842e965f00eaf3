"""Counted work against the attention mask that the model itself uses, pair by pair."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.attention_masks import decoder_mask
from models.batch_work import BatchWork, batch_work
from models.configuration import PMCCambrianConfig
from models.fusion import plan_layout
from models.packing import pack_rows, pad_samples
from models.segments import Segments, expand_segments
from semihvision.core.batch import EncodedSample, TowerPixels

IMAGE, IGNORE = -200, -100
SIZES = st.tuples(st.integers(20, 60), st.integers(20, 60))
# A segment: sizes of its images, and for each sample the tokens of question and answer.
SEGMENTS = st.tuples(
    st.lists(SIZES, max_size=2),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
)
ROWS = st.lists(st.lists(SEGMENTS, min_size=1, max_size=3), min_size=1, max_size=3)


def samples_of(sizes: list[tuple[int, int]], texts: list[tuple[int, int]]) -> list[EncodedSample]:
    images = [TowerPixels((torch.zeros(1),), size) for size in sizes]
    head = [1, 2, *(token for _ in images for token in (IMAGE, 3))]
    return [
        EncodedSample(
            example_id="s",
            input_ids=torch.tensor(head + [5] * (question + answer)),
            labels=torch.tensor([IGNORE] * (len(head) + question) + [5] * answer),
            images=images,
        )
        for question, answer in texts
    ]


def by_mask(batch: Any, config: PMCCambrianConfig) -> BatchWork:
    """The same counts from every pair of positions."""
    layout = plan_layout(
        batch["input_ids"],
        batch["attention_mask"],
        [(w, h) for w, h in batch["image_sizes_wh"].tolist()],
        image_side=config.image_side,
        image_token_id=IMAGE,
        image_layout=batch.get("image_layout", "unpadded"),
        row_length=batch.get("row_length"),
    )
    counts = layout.attention_mask
    found = expand_segments(
        layout,
        batch.get("image_layout", "unpadded"),
        batch.get("segment_ids"),
        batch.get("branch_ids"),
    )
    segments = found or Segments(counts.long() - 1, torch.zeros_like(counts).long(), counts)
    sdpa = SimpleNamespace(_attn_implementation="sdpa", sliding_window=None)
    mask = decoder_mask(segments, segments.position_ids(), sdpa, torch.float32)[:, 0]
    real = mask & counts[:, :, None] & counts[:, None, :]
    labels = layout.expand_labels(batch["labels"], IGNORE)
    return BatchWork(
        tokens=int(counts.sum()),
        pairs=int(real.sum()),
        scored_tokens=int((labels[:, 1:] != IGNORE).sum()),
        images=len(batch["image_sizes_wh"]),
        positions=counts.numel(),
    )


@pytest.fixture(scope="module")
def config(small_config: Callable[..., PMCCambrianConfig]) -> PMCCambrianConfig:
    return small_config()


@given(rows=ROWS, fixed=st.booleans())
def test_padded_rows_count_what_their_mask_allows(
    config: PMCCambrianConfig, rows: list[list[Any]], fixed: bool
) -> None:
    samples = [s for row in rows for segment in row for s in samples_of(*segment)]
    batch = pad_samples(samples, pad_token_id=0, ignore_index=IGNORE)
    if fixed:
        batch["image_layout"] = "fixed"
    assert batch_work(batch, config) == by_mask(batch, config)


@given(rows=ROWS, fixed=st.booleans(), share=st.booleans(), spare=st.none() | st.integers(0, 5))
def test_packed_rows_count_what_their_mask_allows(
    config: PMCCambrianConfig, rows: list[list[Any]], fixed: bool, share: bool, spare: int | None
) -> None:
    planned = []
    for row in rows:
        segments = [samples_of(*segment) for segment in row]
        if not share or not all(sizes for sizes, _ in row):
            segments = [[sample] for segment in segments for sample in segment]
        planned.append(segments)
    batch = pack_rows(planned, image_token_id=IMAGE, pad_token_id=0, ignore_index=IGNORE)
    if fixed:
        batch["image_layout"] = "fixed"
    if spare is not None:
        batch["row_length"] = by_mask(batch, config).positions // len(rows) + spare
    assert batch_work(batch, config) == by_mask(batch, config)


def test_work_adds_up() -> None:
    assert BatchWork(1, 2, 3, 4, 5) + BatchWork(1, 1, 1, 1, 1) == BatchWork(2, 3, 4, 5, 6)
