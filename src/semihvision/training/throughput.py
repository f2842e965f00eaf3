"""Speed of a run from counted work and measured time: tokens/s, images/s, waiting, utilisation."""

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from models.acceleration import ActivationCheckpointing
from models.batch_work import BatchWork
from models.configuration import PMCCambrianConfig
from models.flops import PEAK_BF16_FLOPS, ImageFlops, StepFlops, decoder_flops, image_flops
from models.modeling import PMCCambrian

_OTHER_PARTS = ("pcie", "nvl", "mig")
"""Parts of a device name whose peak is not that of the SXM module in `PEAK_BF16_FLOPS`."""


def peak_flops(device_name: str) -> float | None:
    """Dense bfloat16 peak of a GPU in FLOP/s; ``None`` where it is not known.

    Args:
        device_name: As ``torch.cuda.get_device_name`` gives it.
    """
    name = device_name.lower()
    if any(part in name for part in _OTHER_PARTS):
        return None
    return next((peak for gpu, peak in PEAK_BF16_FLOPS.items() if gpu in name), None)


@dataclass
class Window:
    """What has happened since the last logged step, in this process or summed over all.

    Attributes:
        work: Of all batches.
        seconds: Wall time, validation left out.
        waited_s: Of it, waiting for the next batch.
    """

    work: BatchWork = field(default_factory=BatchWork)
    seconds: float = 0.0
    waited_s: float = 0.0


class FlopCounter:
    """FLOPs of a model's steps, from what their batches ask for.

    Args:
        model: Its ``requires_grad`` says what is trained.
        trained_parts: Parts of it (`models.parts.PARTS`) that are trained.
        activation_checkpointing: ``full`` does the forward pass of decoder and SVA layers, and of
            trained towers, twice. ``selective`` keeps the products, which are what is counted.
    """

    def __init__(
        self,
        model: PMCCambrian,
        trained_parts: tuple[str, ...],
        activation_checkpointing: ActivationCheckpointing,
    ) -> None:
        self._decoder = model.language_model
        config = cast(PMCCambrianConfig, model.config)
        self._image: ImageFlops = image_flops(config, trained_parts)
        self._recomputes = activation_checkpointing == "full"
        self._image_recomputed = self._image.connector.forward - _projector_flops(model)
        if "towers" in trained_parts:
            self._image_recomputed += self._image.encoders.forward

    def count(self, work: BatchWork) -> StepFlops:
        """FLOPs of some batches.

        Args:
            work: What they ask for.
        """
        language_model, layers = decoder_flops(
            self._decoder,
            tokens=work.tokens,
            pairs=work.pairs,
            scored_tokens=work.scored_tokens,
        )
        return StepFlops(
            language_model=language_model,
            encoders=self._image.encoders * work.images,
            connector=self._image.connector * work.images,
            recomputed=layers + self._image_recomputed * work.images if self._recomputes else 0.0,
        )


def _projector_flops(model: PMCCambrian) -> float:
    """Forward pass of an image through the maps that are no checkpointed blocks."""
    config = model.config
    cells = [spec.grid_side**2 for spec in config.tower_specs] + [config.image_token_len]
    maps = [*model.projectors, model.mm_projector]
    return float(sum(2 * n * _linear_weights(part) for n, part in zip(cells, maps, strict=True)))


def _linear_weights(part: nn.Module) -> int:
    return sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Linear))


def speed(
    window: Window, flops: StepFlops, *, devices: int, peak: float | None
) -> dict[str, float]:
    """Metrics of a window.

    Args:
        window: Work summed over all processes; their mean times.
        flops: Of its work.
        devices: How many share it.
        peak: FLOP/s of one of them; ``None`` leaves the utilisations out.

    Returns:
        Values by name: rates are of all devices together, FLOP/s of one. Waiting and padding in
        percent of time and of positions.
    """
    work, seconds = window.work, window.seconds
    model = flops.language_model.total + flops.encoders.total + flops.connector.total
    found = {
        "tokens_per_s": work.tokens / seconds,
        "images_per_s": work.images / seconds,
        "padding_percent": 100 * (1 - work.tokens / work.positions),
        "data_wait_percent": 100 * window.waited_s / seconds,
        "tflops_per_s_and_device": model / seconds / devices / 1e12,
    }
    if peak is not None:
        found |= flops.utilisation(seconds, peak, devices)
    return found


def gradient_norm(parameters: Any) -> float:
    """Euclidean norm of all gradients; sharded ones are summed over all processes.

    Args:
        parameters: Every process must pass the same ones.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    total: Any = torch.nn.utils.get_total_norm(gradients)
    return float(total.full_tensor() if hasattr(total, "full_tensor") else total)
