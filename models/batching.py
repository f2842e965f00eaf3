"""How long samples are once their images are expanded, and the batches they are put into."""

from collections.abc import Sequence

from semihvision.core.batch import Batch, EncodedSample, Segment
from semihvision.core.errors import InputError

from .configuration import PMCCambrianConfig
from .fusion import ImageLayout
from .packing import pack_rows, pad_samples
from .padding import kept_grid


def expanded_length(
    num_tokens: int, sizes_wh: Sequence[tuple[int, int]], image_side: int, layout: ImageLayout
) -> int:
    """Length of a sample in tokens once its images are expanded.

    Args:
        num_tokens: Tokens with one placeholder per image.
        sizes_wh: Original width and height of its images in pixels.
        image_side: S.
        layout: ``unpadded``, or ``fixed`` for S·(S+1) tokens an image.
    """
    if layout == "fixed":
        return num_tokens + len(sizes_wh) * (image_side * (image_side + 1) - 1)
    grids = [kept_grid(width, height, image_side).num_tokens for width, height in sizes_wh]
    return num_tokens - len(grids) + sum(grids)


def collate_samples(
    samples: Sequence[EncodedSample], config: PMCCambrianConfig, layout: ImageLayout
) -> Batch:
    """One sample a row, padded on the right; prompts, which train nothing, get no labels.

    Args:
        samples: At least one.
        config: The model that reads the batch.
        layout: How images are expanded wherever there are labels.

    Raises:
        InputError: There is no sample.
    """
    if not samples:
        raise InputError("a batch of 0 samples; expected at least one")
    batch = pad_samples(
        samples,
        pad_token_id=config.text_config.pad_token_id,
        ignore_index=config.ignore_index,
    )
    return _laid_out(batch, layout) if "labels" in batch else batch


def pack_samples(
    rows: Sequence[Sequence[Segment]],
    config: PMCCambrianConfig,
    layout: ImageLayout,
    row_length: int | None,
) -> Batch:
    """Several samples in each row.

    Args:
        rows: For each row its segments, for each segment its samples.
        config: The model that reads the batch.
        layout: How images are expanded.
        row_length: Tokens of every row, images expanded; ``None`` for those of the longest.

    Raises:
        InputError: There is no row, a row or segment is empty, samples cannot share their images,
            or a row is longer than ``row_length``.
    """
    if not rows or not all(row and all(row) for row in rows):
        raise InputError("packing takes at least one row, each of at least one sample")
    batch = pack_rows(
        rows,
        image_token_id=config.image_token_id,
        pad_token_id=config.text_config.pad_token_id,
        ignore_index=config.ignore_index,
    )
    if row_length is not None:
        _check_row_lengths(batch, row_length, config, layout)
        batch["row_length"] = row_length
    return _laid_out(batch, layout)


def _laid_out(batch: Batch, layout: ImageLayout) -> Batch:
    if layout != "unpadded":
        batch["image_layout"] = layout
    return batch


def _check_row_lengths(
    batch: Batch, row_length: int, config: PMCCambrianConfig, layout: ImageLayout
) -> None:
    sizes = iter(batch["image_sizes_wh"].tolist())
    for i, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"], strict=True)):
        num_images = int((ids == config.image_token_id).sum())
        images = [next(sizes) for _ in range(num_images)]
        length = expanded_length(int(mask.sum()), images, config.image_side, layout)
        if length > row_length:
            raise InputError(
                f"packed row {i} has {length} tokens with its images expanded; expected at "
                f"most row_length {row_length}"
            )
