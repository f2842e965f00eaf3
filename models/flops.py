"""Floating-point operations of a training step, for model FLOPs utilisation (MFU).

Vision parts are counted by PyTorch's FLOP counter on the meta device, by running them forward and
backward once for one image; the decoder is counted from its linear maps and from the pairs of
positions that attend to each other, since packed attention never visits the others. One
multiply-add is two operations; norms, activations and element-wise products are not counted.

Model FLOPs are what the mathematics of the step asks for: forward, gradients of activations
wherever a gradient flows, gradients of weights where they are trained. Work that is done twice
(activation checkpointing) is not in them; `StepFlops.recomputed` holds it apart.

Source: the definition of MFU and HFU is that of PaLM (Chowdhery et al. 2022, appendix B), except
that attention counts allowed pairs only, not the full square.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .configuration import PMCCambrianConfig
from .modeling import PMCCambrian
from .parts import part_of

PEAK_BF16_FLOPS = {"h100": 989.4e12, "h200": 989.4e12, "a100": 312e12}
"""Dense bfloat16 peak of a GPU in FLOP/s. Source: NVIDIA's data sheets of the SXM parts."""


@dataclass(frozen=True)
class Flops:
    """Operations of one part.

    Attributes:
        forward: Forward pass.
        backward: Gradients of activations and of trained weights.
    """

    forward: float = 0.0
    backward: float = 0.0

    @property
    def total(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: float) -> "Flops":
        return Flops(self.forward * times, self.backward * times)


@dataclass(frozen=True)
class StepFlops:
    """Operations of one step by part.

    Attributes:
        language_model: Decoder and head.
        encoders: Vision towers.
        connector: Projectors, SVA connector, `mm_projector` and the samplers in the decoder.
        recomputed: Forward operations that activation checkpointing does a second time.
    """

    language_model: Flops
    encoders: Flops
    connector: Flops
    recomputed: float = 0.0

    def utilisation(self, seconds: float, peak: float, gpus: int = 1) -> dict[str, float]:
        """Shares of the hardware's peak.

        Args:
            seconds: Duration of the step.
            peak: FLOP/s of one GPU.
            gpus: GPUs that share the step.

        Returns:
            ``mfu_language_model``; ``mfu``, with encoders and connector; ``hfu``, with what was
            recomputed too; each in [0, 1].
        """
        available = seconds * peak * gpus
        model = self.language_model.total + self.encoders.total + self.connector.total
        return {
            "mfu_language_model": self.language_model.total / available,
            "mfu": model / available,
            "hfu": (model + self.recomputed) / available,
        }


@dataclass(frozen=True)
class ImageFlops:
    """Operations for one image: towers, and everything between them and the decoder."""

    encoders: Flops
    connector: Flops


def image_flops(config: PMCCambrianConfig, trained_parts: Collection[str]) -> ImageFlops:
    """Counts the vision path of one square image.

    Towers and connector see every image padded to a square, so of them this holds for all. The
    samplers leave the padding border out: for other images this counts more than they compute (at
    8B and stage 1, an image of 2:1: 3 % more in all).

    Args:
        config: Sizes.
        trained_parts: Parts whose weights are trained (`models.parts.PARTS`).

    Raises:
        ValueError: A tower exists only as precomputed features, so that it cannot be counted.
    """
    with torch.device("meta"):
        model = PMCCambrian(config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in trained_parts)
    features, encoders = [], Flops()
    for tower, spec in zip(model.towers, config.tower_specs, strict=True):
        pixels = torch.empty(1, 3, spec.input_side_px, spec.input_side_px, device="meta")
        with FlopCounterMode(display=False) as forward:
            output: Tensor = tower(pixels)
        encoders += Flops(forward.get_total_flops(), _backward_flops(output))
        features.append(output.detach())
    with FlopCounterMode(display=False) as forward:
        cells, windows = model.encode_images(features, [(336, 336)])
        if windows is not None:
            hidden = torch.empty(
                config.image_token_len, config.text_config.hidden_size, device="meta"
            ).requires_grad_()
            for index in config.sampler_layers.values():
                hidden = model.samplers[index](hidden, windows)
            cells = cells + hidden
    connector = Flops(forward.get_total_flops(), _backward_flops(cells))
    return ImageFlops(encoders, connector)


def _backward_flops(output: Tensor) -> float:
    if not output.requires_grad:
        return 0.0
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()  # type: ignore[no-untyped-call]
    return float(backward.get_total_flops())


def decoder_flops(
    decoder: Any, *, tokens: int, pairs: int, scored_tokens: int
) -> tuple[Flops, float]:
    """Counts the decoder from its linear maps; adapters (LoRA) count as what they are.

    Args:
        decoder: A causal language model with ``.config``, ``.model.layers`` and ``lm_head``, on
            any device; which weights are trained is read from ``requires_grad``.
        tokens: Real tokens of the step, images expanded, padding left out.
        pairs: Pairs of positions (i, j) with i attending to j, over all samples.
        scored_tokens: Positions that pass the head.

    Returns:
        Operations of decoder and head, and the forward operations of the layers alone, which full
        activation checkpointing does twice.
    """
    config = decoder.config
    layers, head = decoder.model.layers, decoder.get_output_embeddings()
    weights = [m.weight for m in layers.modules() if isinstance(m, nn.Linear)]
    linear = 2.0 * tokens * sum(weight.numel() for weight in weights)
    trained = 2.0 * tokens * sum(weight.numel() for weight in weights if weight.requires_grad)
    width = config.num_attention_heads * _head_dim(config)
    attention = 4.0 * pairs * width * config.num_hidden_layers
    scores = 2.0 * scored_tokens * head.weight.numel()
    head_backward = scores * (2 if head.weight.requires_grad else 1)
    backward = linear + trained + 2 * attention + head_backward
    return Flops(linear + attention + scores, backward), linear + attention


def _head_dim(config: Any) -> int:
    found = getattr(config, "head_dim", None)
    return int(found or config.hidden_size // config.num_attention_heads)
