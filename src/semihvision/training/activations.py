"""What a step's forward pass keeps for its backward pass, where no GPU and no memory is needed.

The decoder, and the vision path from tower features on (trained towers included), run once on the
meta device (`semihvision.training.saved_tensors`).

Checkpointing: `full` keeps the input of every block and recomputes one block at a time, so that the
largest block is added once; `selective` keeps the outputs of matrix products and attention besides.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.acceleration import ActivationCheckpointing
from models.modeling import PMCCambrian
from models.sharding import decoder_layers, sva_layers, tower_blocks
from models.windows import Windows
from semihvision.training.saved_tensors import ActivationBytes, Recorder


@dataclass(frozen=True)
class BatchShape:
    """The batch of one process.

    Attributes:
        positions: Positions the decoder computes, padding included.
        scored_tokens: Of them those that pass the head.
        images: Images.
    """

    positions: int
    scored_tokens: int
    images: int


def activation_bytes(
    model: PMCCambrian,
    batch: BatchShape,
    *,
    compute_dtype: torch.dtype | None,
    activation_checkpointing: ActivationCheckpointing = "none",
) -> ActivationBytes:
    """What a step keeps for its backward pass.

    Args:
        model: On the meta device, its blocks without checkpointing; what is trained decides.
        batch: One process's; images are taken to be square, which take the most tokens.
        compute_dtype: That of autocast; ``None`` without.
        activation_checkpointing: What becomes of the blocks' activations.
    """
    recorder = Recorder(model, compute_dtype)
    if batch.images:
        windows = _run_vision(model, recorder, batch.images)
        if activation_checkpointing != "none":
            recorder.hold(*windows)
    table: Any = model.get_input_embeddings()
    shape = (1, batch.positions, model.config.text_config.hidden_size)
    hidden = torch.empty(shape, dtype=table.weight.dtype, device="meta").requires_grad_()
    recorder.run(decoder_layers(model), lambda: _decode(model.language_model.model, hidden))
    counted = recorder.counted
    if activation_checkpointing == "none":
        return counted
    selective = activation_checkpointing == "selective"
    held = sum(block.taken + selective * block.outputs for block in recorder.blocks)
    inside = sum(block.kept for block in recorder.blocks)
    largest = max(block.kept for block in recorder.blocks)
    outside = counted.activations - inside + recorder.held_bytes
    return ActivationBytes(outside + held + largest, counted.weight_copies)


def _decode(decoder: Any, hidden: Tensor) -> Tensor:
    """Every layer in turn; the decoder's own forward would look into masks and positions."""
    positions = torch.arange(hidden.shape[1], device="meta")[None]
    rotary = decoder.rotary_emb(hidden, positions)
    for layer in decoder.layers:
        hidden = layer(
            hidden, attention_mask=None, position_ids=positions, position_embeddings=rotary
        )
    normed: Tensor = decoder.norm(hidden)
    return normed


def _run_vision(model: PMCCambrian, recorder: Recorder, images: int) -> list[Tensor]:
    """Towers where they are trained, projectors, connector and the samplers of the decoder.

    Returns:
        Windows that several blocks read, which stay even if each block is recomputed.
    """
    config: Any = model.config
    features = []
    for tower, spec in zip(model.towers, config.tower_specs, strict=True):
        side = spec.input_side_px
        pixels = torch.empty(images, 3, side, side, device="meta")
        trained = any(parameter.requires_grad for parameter in tower.parameters())
        blocks = tower_blocks(tower) if trained else []
        features.append(recorder.run(blocks, partial(tower, pixels)))
    sizes = [(1, 1)] * images
    found: tuple[Tensor, Windows | None] = recorder.run(
        sva_layers(model), lambda: model.encode_images(features, sizes)
    )
    cells, windows = found
    if windows is None:
        return []
    flat = cells.detach().flatten(0, 1).requires_grad_()
    chosen = torch.arange(len(flat), device="meta")
    selected = recorder.run([], lambda: windows.select(chosen))
    for index in config.sampler_layers.values():
        sampler = model.samplers[index]
        recorder.run([sampler], partial(sampler, flat, selected))
    return [*windows.keys, *selected.keys]
