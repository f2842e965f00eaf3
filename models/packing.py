"""Encoded samples to batches: padded one a row, or several packed into a row.

A packed row is a list of segments, a segment a list of samples. Samples that share a segment have
the same images and the same token ids through their last image placeholder; these go into the row
once, as the segment's prefix, and the rest of each sample follows as a branch of its own
(`models.segments`). So an image is encoded once for all questions about it.

Legend: B rows, L longest row before image expansion, N images in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from semihvision.core.batch import Batch, EncodedSample, Segment, TowerPixels
from semihvision.core.errors import InputError

from .segments import PADDING, PREFIX


@dataclass
class _Row:
    """Pieces of a row, to be joined."""

    input_ids: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    segment_ids: list[Tensor] = field(default_factory=list)
    branch_ids: list[Tensor] = field(default_factory=list)

    def add(self, ids: Tensor, labels: Tensor, *, segment: int, branch: int) -> None:
        self.input_ids.append(ids)
        self.labels.append(labels)
        self.segment_ids.append(torch.full_like(ids, segment))
        self.branch_ids.append(torch.full_like(ids, branch))


def pad_samples(samples: Sequence[EncodedSample], *, pad_token_id: int, ignore_index: int) -> Batch:
    """One sample a row, padded on the right; prompts, which train nothing, get no labels.

    Args:
        samples: At least one.
        pad_token_id: Fills `input_ids`.
        ignore_index: Fills `labels`.
    """
    ids = [sample["input_ids"] for sample in samples]
    images = [image for sample in samples for image in sample["images"]]
    batch = Batch(
        example_ids=[sample["example_id"] for sample in samples],
        input_ids=_padded(ids, pad_token_id),
        attention_mask=_padded([torch.ones_like(row, dtype=torch.bool) for row in ids], False),
        pixel_values=_pixels(images),
        image_sizes_wh=_sizes(images),
    )
    labels = _padded([sample["labels"] for sample in samples], ignore_index)
    if bool((labels != ignore_index).any()):
        batch["labels"] = labels
    return batch


def pack_rows(
    rows: Sequence[Sequence[Segment]],
    *,
    image_token_id: int,
    pad_token_id: int,
    ignore_index: int,
) -> Batch:
    """Several samples a row.

    Args:
        rows: For each row its segments, for each segment the samples that share its images.
        image_token_id: Id of the placeholder.
        pad_token_id: Fills `input_ids`.
        ignore_index: Fills `labels`.

    Raises:
        InputError: Samples of one segment share no prefix that can stand in for all of theirs.
    """
    packed = []
    for segments in rows:
        row = _Row()
        for number, segment in enumerate(segments):
            _add_segment(row, segment, number, image_token_id, ignore_index)
        packed.append(row)
    ids = [torch.cat(row.input_ids) for row in packed]
    segments_in_order = [segment for row in rows for segment in row]
    images = [image for segment in segments_in_order for image in segment[0]["images"]]
    return Batch(
        example_ids=[s["example_id"] for segment in segments_in_order for s in segment],
        input_ids=_padded(ids, pad_token_id),
        attention_mask=_padded([torch.ones_like(row, dtype=torch.bool) for row in ids], False),
        labels=_padded([torch.cat(row.labels) for row in packed], ignore_index),
        segment_ids=_padded([torch.cat(row.segment_ids) for row in packed], PADDING),
        branch_ids=_padded([torch.cat(row.branch_ids) for row in packed], PREFIX),
        pixel_values=_pixels(images),
        image_sizes_wh=_sizes(images),
    )


def sharable_prefix(
    input_ids: Sequence[int], labels: Sequence[int], *, image_token_id: int, ignore_index: int
) -> int:
    """How many tokens of a sample others about the same images may have in common with it.

    Args:
        input_ids: Token ids with one placeholder per image.
        labels: As many labels.
        image_token_id: Id of the placeholder.
        ignore_index: Label of a token that is not trained.

    Returns:
        Those through its last image; 0 without an image, or where one of them or the token after
        them is trained: shared, it would be trained once for all, or predicted from another sample.
    """
    places = [i for i, token in enumerate(input_ids) if token == image_token_id]
    length = places[-1] + 1 if places else 0
    trained = any(label != ignore_index for label in labels[: length + 1])
    return 0 if trained else length


def _add_segment(
    row: _Row, segment: Segment, number: int, image_token_id: int, ignore_index: int
) -> None:
    first = segment[0]
    if len(segment) == 1:
        labels = first["labels"].clone()
        # The token before it belongs to another sample; alone, a first token is not predicted.
        labels[0] = ignore_index
        row.add(first["input_ids"], labels, segment=number, branch=PREFIX)
        return
    prefix = sharable_prefix(
        first["input_ids"].tolist(),
        first["labels"].tolist(),
        image_token_id=image_token_id,
        ignore_index=ignore_index,
    )
    for sample in segment:
        _check_shares(sample, first, prefix, ignore_index)
    row.add(first["input_ids"][:prefix], first["labels"][:prefix], segment=number, branch=PREFIX)
    for branch, sample in enumerate(segment, 1):
        ids, labels = sample["input_ids"][prefix:], sample["labels"][prefix:]
        row.add(ids, labels, segment=number, branch=branch)


def _check_shares(
    sample: EncodedSample, first: EncodedSample, prefix: int, ignore_index: int
) -> None:
    """Refuses a sample whose share of the prefix is not what its segment holds once."""
    ids, labels = sample["input_ids"], sample["labels"]
    sizes = [[image.size_wh for image in s["images"]] for s in (sample, first)]
    if prefix == 0:
        problem = "nothing to share (no image, or trained tokens before or right after the last)"
    elif not torch.equal(ids[:prefix], first["input_ids"][:prefix]):
        problem = "other tokens before its last image"
    elif sizes[0] != sizes[1]:
        problem = "other images"
    elif bool((labels[: prefix + 1] != ignore_index).any()):
        problem = "trained tokens before or right after its last image"
    else:
        return
    raise InputError(
        f"sample {sample['example_id']}: {problem}; it was to share its images with "
        f"{first['example_id']}: pack it as a segment of its own"
    )


def _padded(rows: Sequence[Tensor], value: float) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value)


def _pixels(images: Sequence[TowerPixels]) -> list[Tensor]:
    """T tensors (N, 3, R_t, R_t)."""
    return [torch.stack(tower) for tower in zip(*(i.pixels for i in images), strict=True)]


def _sizes(images: Sequence[TowerPixels]) -> Tensor:
    """(N, 2) int64."""
    return torch.tensor([i.size_wh for i in images]).reshape(-1, 2).long()
