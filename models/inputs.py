"""What goes into the language model, and the checks on what came in.

Legend: B rows, L input length, L' length after image expansion, N images, T towers, H language
width; a_t grid side of tower t, C_t its channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .host import sent
from .samplers import SamplerInputs
from .segments import Segments


@dataclass(frozen=True)
class FusedInputs:
    """A batch as the language model reads it.

    Attributes:
        inputs_embeds: (B, L', H), zero on padding.
        attention_mask: (B, L') bool; ``None`` where every position counts.
        labels: (B, L') int64 in host memory, or ``None`` where none were given.
        sampler_inputs: What the samplers read; ``None`` where the batch holds no image.
        segments: How packed rows, or rows in the fixed image layout, are divided; ``None`` where
            plain causal attention under ``attention_mask`` says it all.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor | None
    labels: Tensor | None = None
    sampler_inputs: SamplerInputs | None = None
    segments: Segments | None = None


def embed_text(
    table: nn.Embedding,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    image_token_id: int,
    *,
    device: torch.device,
) -> Tensor:
    """Embeddings of the kept token ids; at placeholders and masked ids, of id 0.

    Args:
        table: Embeddings of the vocabulary.
        input_ids: (B, L) int64.
        attention_mask: (B, L); ``None`` where every token counts.
        image_token_id: Id of the placeholder.
        device: Where it is computed; a sharded table may lie elsewhere until it is used.

    Returns:
        (B, L, H).

    Raises:
        ValueError: An id is neither a placeholder nor in the vocabulary.
    """
    unread = input_ids == image_token_id
    if attention_mask is not None:
        unread = unread | ~attention_mask.bool()
    ids = input_ids.masked_fill(unread, 0)
    foreign = (ids < 0) | (ids >= table.num_embeddings)
    if bool(foreign.any()):
        raise ValueError(
            f"token ids {sorted(set(ids[foreign].tolist()))[:5]} are not in the vocabulary; "
            f"expected 0 to {table.num_embeddings - 1}, or {image_token_id} for an image"
        )
    embedded: Tensor = table(sent(ids, device))
    return embedded


def check_one_per_tower(
    given: Sequence[Tensor] | None, *, num_towers: int, num_images: int
) -> Sequence[Tensor]:
    """Makes sure that every tower was given every image.

    Args:
        given: Pixels or features, one tensor of N images per tower.
        num_towers: T.
        num_images: N.

    Raises:
        ValueError: It was not.
    """
    if given is None or len(given) != num_towers:
        raise ValueError(
            f"{0 if given is None else len(given)} tensors of pixels or features for "
            f"{num_towers} towers; expected one per tower"
        )
    if any(len(tensor) != num_images for tensor in given):
        raise ValueError(
            f"towers were given {[len(tensor) for tensor in given]} images; image_sizes_wh "
            f"has {num_images}"
        )
    return given
