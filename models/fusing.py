"""From images and token ids to what the language model reads.

Legend: B rows, L input length, L' length after image expansion, N images in the batch, T towers,
a_t grid side of tower t, C_t its channels, V vision width, S image side, H language width.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor, nn

from .fusion import ImageLayout, PaddingSide, plan_layout
from .host import on_host, sent
from .inputs import FusedInputs, check_one_per_tower, embed_text
from .samplers import SamplerInputs
from .segments import expand_segments
from .windows import Windows, make_windows


class VisionPath(Protocol):
    """The parts of the model between pixels and the language model."""

    config: Any
    towers: nn.ModuleList
    projectors: nn.ModuleList
    query: nn.Parameter
    connector: Any
    mm_projector: nn.Sequential
    newline: nn.Parameter
    samplers: nn.ModuleList

    def get_input_embeddings(self) -> nn.Module:
        """Token embeddings of the language model."""
        ...


def encode_images(
    model: VisionPath, tower_features: Sequence[Tensor], sizes_wh: Sequence[tuple[int, int]]
) -> tuple[Tensor, Windows | None]:
    """Image grid for the sequence and windows for the samplers.

    Args:
        model: Its projectors and connector are used.
        tower_features: T tensors (N, a_t², C_t).
        sizes_wh: Original width and height of the N images in pixels.

    Returns:
        (N, S², H) cells, and the windows of all N·S² cells (``None`` without samplers).
    """
    # Every SVA layer reads these: they are converted to the dtype it computes in once.
    dtype = _computed_dtype(model.query)
    projected = [
        project(features.to(dtype)).to(dtype)
        for project, features in zip(model.projectors, tower_features, strict=True)
    ]
    config = model.config
    sides = set(config.query_sides)
    if len(model.samplers):
        sides.add(config.image_side)
    windows = {side: make_windows(projected, sizes_wh, side) for side in sides}
    cells = model.connector(model.query, [windows[side] for side in config.query_sides])
    inner = windows[config.image_side] if len(model.samplers) else None
    return model.mm_projector(cells), inner


def _computed_dtype(parameter: Tensor) -> torch.dtype:
    """What matrix products with a parameter are computed in."""
    # The meta device, on which memory is estimated, knows no autocast of its own.
    kind = "cpu" if parameter.is_meta else parameter.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return parameter.dtype


class FuseOptions(TypedDict, total=False):
    """What `fuse_inputs` may be told beyond the batch."""

    tower_features: Sequence[Tensor] | None
    padding_side: PaddingSide
    image_layout: ImageLayout
    row_length: int | None
    segment_ids: Tensor | None
    branch_ids: Tensor | None


def fuse_inputs(
    model: VisionPath,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    pixel_values: Sequence[Tensor] | None,
    image_sizes_wh: Tensor | None,
    labels: Tensor | None,
    *,
    tower_features: Sequence[Tensor] | None = None,
    padding_side: PaddingSide = "right",
    image_layout: ImageLayout = "unpadded",
    row_length: int | None = None,
    segment_ids: Tensor | None = None,
    branch_ids: Tensor | None = None,
) -> FusedInputs:
    """Replaces image placeholders by image tokens.

    What becomes of which token is planned on the host. Where ids, masks and sizes are there
    already, nothing here waits for a GPU.

    Args:
        model: Its vision path and embeddings are used.
        input_ids: (B, L) int64; this and all that follows may be on the host or on any device.
        attention_mask: (B, L); ``None`` where every token counts.
        pixel_values: T tensors (N, 3, R_t, R_t); empty or ``None`` without images.
        image_sizes_wh: (N, 2) original width and height in pixels.
        labels: (B, L) int64.
        tower_features: T tensors (N, a_t², C_t) in place of ``pixel_values``.
        padding_side: Where shorter rows are padded.
        image_layout: ``unpadded``, or ``fixed`` for S·(S+1) tokens an image.
        row_length: L'; ``None`` for the longest row's.
        segment_ids: (B, L) int64 of packed rows; ``None`` where every row is one sample.
        branch_ids: (B, L) int64; goes with ``segment_ids``.

    Raises:
        ValueError: Placeholders and images differ in number, an id is neither a placeholder nor in
            the vocabulary, or a row is longer than ``row_length``.
    """
    config, device = model.config, model.newline.device
    ids, mask = input_ids.cpu(), on_host(attention_mask)
    sizes = [] if image_sizes_wh is None else [(w, h) for w, h in image_sizes_wh.tolist()]
    # A GPU is busy with the towers while the host goes on planning.
    given = _tower_features(model, pixel_values, tower_features, len(sizes))
    planned = plan_layout(
        ids,
        mask,
        sizes,
        image_side=config.image_side,
        image_token_id=config.image_token_id,
        padding_side=padding_side,
        image_layout=image_layout,
        row_length=row_length,
    )
    table: Any = model.get_input_embeddings()
    text = embed_text(table, ids, mask, config.image_token_id, device=device)
    layout = planned.to(device)
    sampler_inputs = None
    if sizes:
        cells, windows = encode_images(model, given, sizes)
        if windows is not None:
            sampler_inputs = SamplerInputs(windows.select(layout.cells), layout.positions)
    else:
        cells = text.new_zeros(0, config.image_token_len, text.shape[-1])
    segments = expand_segments(planned, image_layout, on_host(segment_ids), on_host(branch_ids))
    return FusedInputs(
        inputs_embeds=layout.embed(text, cells, model.newline),
        attention_mask=layout.attention_mask,
        labels=None if labels is None else planned.expand_labels(labels.cpu(), config.ignore_index),
        sampler_inputs=sampler_inputs,
        segments=None if segments is None else segments.to(device),
    )


def _tower_features(
    model: VisionPath,
    pixel_values: Sequence[Tensor] | None,
    tower_features: Sequence[Tensor] | None,
    num_images: int,
) -> list[Tensor]:
    """Features of all images; pixels without sizes are refused like any other wrong number."""
    chosen = pixel_values if tower_features is None else tower_features
    if num_images or chosen:
        chosen = check_one_per_tower(chosen, num_towers=len(model.towers), num_images=num_images)
    if not num_images or chosen is None:
        return []
    given = [sent(tensor, model.newline.device) for tensor in chosen]
    if tower_features is not None:
        return given
    # The largest images first: they keep a GPU busy while the host queues all the rest.
    order = sorted(range(len(given)), key=lambda t: -given[t].shape[-1])
    features = {t: model.towers[t](given[t]) for t in order}
    return [features[t] for t in range(len(given))]
