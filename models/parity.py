"""Parity: a golden file's outputs, recomputed by the `forward` and `generate` of use.

Some official outputs have no meaning and are left out by rule, never by value, and are listed:

- Logits on padding.
- Where samplers run inside the decoder: rows of text that consumed an image, and rows with padding
  on the left. The official samplers overwrite fixed positions, which hold no image there.
- Greedy tokens of a row that the official code continued behind its right padding. Such a row shows
  itself: its first token is not the one that the official logits at its last token name.

Source: cambrian.md sections 8, 9, 13, 15 and 16.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from .checkpoint import config_from_official, load_official_checkpoint
from .configuration import PMCCambrianConfig
from .golden import Golden, GoldenFileError, consumed_images, model_inputs, read_golden
from .modeling import PMCCambrian

TOLERANCE = 1e-5
"""Largest absolute difference allowed in float32."""

OUTPUTS = (
    "inputs_embeds",
    "logits",
    "loss",
    "expanded_attention_mask",
    "expanded_labels",
    "greedy_ids",
)
_EXACT = ("expanded_attention_mask", "expanded_labels", "greedy_ids")


@dataclass(frozen=True)
class Difference:
    """How far one output is from the official one.

    Attributes:
        output: Name of the output.
        largest: Largest absolute difference; infinite where shapes differ.
        passed: Within the tolerance (masks, labels and token ids: equal).
    """

    output: str
    largest: float
    passed: bool


@dataclass(frozen=True)
class Parity:
    """Result of a comparison.

    Attributes:
        differences: One per compared output.
        left_out: What was not compared: output, or output and rows -> why.
    """

    differences: list[Difference]
    left_out: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether something was compared, and all of it passed."""
        return bool(self.differences) and all(d.passed for d in self.differences)


def verify(path: Path) -> Parity:
    """Recomputes every output of a golden file.

    Args:
        path: The file.

    Raises:
        GoldenFileError: The file is unusable, or its weights do not fit its configuration.
    """
    golden = read_golden(path)
    try:
        config = config_from_official(golden.config)
        model = load_official_checkpoint(golden.under("weights."), config)
        return compare(model, golden)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise GoldenFileError(f"{path}: {error}") from error


@torch.no_grad()
def compare(model: PMCCambrian, golden: Golden) -> Parity:
    """Outputs of a model against those of a golden file.

    Args:
        model: Built from the golden file's weights, in float32.
        golden: The file.

    Raises:
        ValueError: The inputs do not fit each other or the model.
    """
    official = golden.under("outputs.")
    result = Parity([], {})
    for name in (*OUTPUTS, *sorted(official.keys() - set(OUTPUTS))):
        if name not in official:
            result.left_out[name] = "the file does not hold it"
        elif name not in OUTPUTS:
            result.left_out[name] = "unknown output"
    computed = _compute(model, golden)
    spoiled = _spoiled_rows(model, golden, computed["expanded_attention_mask"])
    for name in OUTPUTS:
        if name in official:
            ours, theirs = _comparable(name, computed, official, spoiled, result.left_out)
            if theirs is not None:
                tolerance = 0 if name in _EXACT else TOLERANCE
                result.differences.append(_difference(name, ours, theirs, tolerance))
    return result


def _compute(model: PMCCambrian, golden: Golden) -> dict[str, Any]:
    inputs = model_inputs(golden, cast(PMCCambrianConfig, model.config))
    labels = golden.tensors.get("inputs.labels")
    side = golden.padding_side
    fused = model.fuse(**inputs, labels=labels, padding_side=side)
    output = model(**inputs, labels=labels, padding_side=side)
    computed = {
        "inputs_embeds": fused.inputs_embeds,
        "logits": output.logits,
        "loss": output.loss,
        "expanded_attention_mask": fused.attention_mask,
        "expanded_labels": fused.labels,
    }
    greedy = golden.tensors.get("outputs.greedy_ids")
    if greedy is not None:
        computed["greedy_ids"] = model.generate(
            **inputs, max_new_tokens=greedy.shape[1], do_sample=False, eos_token_id=None
        )
    return computed


def _spoiled_rows(model: PMCCambrian, golden: Golden, mask: Tensor) -> Tensor:
    """(B,) bool: rows in which the official samplers overwrite states that are no image's."""
    given = golden.under("inputs.")
    ids = given["input_ids"]
    kept = given.get("attention_mask", torch.ones_like(ids)).bool()
    placeholders = ((ids == model.config.image_token_id) & kept).sum(dim=1)
    if not model.config.sampler_layers or "image_sizes_wh" not in given:
        return torch.zeros(len(ids), dtype=torch.bool)
    consumed = len(given["image_sizes_wh"]) == consumed_images(placeholders.tolist())
    spoiled: Tensor = ~mask[:, 0] | ((placeholders == 0) & consumed)
    return spoiled


def _comparable(
    name: str,
    computed: dict[str, Any],
    official: dict[str, Tensor],
    spoiled: Tensor,
    left_out: dict[str, str],
) -> tuple[Tensor | None, Tensor | None]:
    """The two tensors to compare, or two ``None``; what is left out is written down."""
    ours, theirs = computed[name], official[name]
    if ours is None:
        left_out[name] = "inputs.labels is absent"
        return None, None
    if name not in ("logits", "loss", "greedy_ids") or ours.shape != theirs.shape:
        return ours, theirs
    rows = spoiled
    reason = "the official samplers overwrite positions that hold no image"
    if name == "greedy_ids" and "logits" in official:
        behind = _continued_behind_padding(computed["expanded_attention_mask"], official)
        if behind.any():
            rows = spoiled | behind
            reason += ", or the official code continues behind right padding"
    if rows.any():
        listed = ", ".join(str(i) for i in rows.nonzero()[:, 0].tolist())
        left_out[name if name == "loss" else f"{name} of rows {listed}"] = reason
        if name == "loss" or rows.all():
            return None, None
    if name == "loss":
        return ours, theirs
    chosen = ~rows
    if name == "logits":
        chosen = computed["expanded_attention_mask"] & chosen[:, None]
    return ours[chosen], theirs[chosen]


def _continued_behind_padding(mask: Tensor, official: dict[str, Tensor]) -> Tensor:
    """(B,) bool: padded rows whose first greedy token does not follow from their last token."""
    logits, first = official["logits"], official["greedy_ids"][:, 0]
    if mask.shape != logits.shape[:2]:
        return torch.zeros_like(first, dtype=torch.bool)
    positions = torch.arange(mask.shape[1])
    last = (mask * positions).argmax(dim=1)
    expected = logits[torch.arange(len(mask)), last].argmax(dim=-1)
    return ~mask[:, -1] & (first != expected)


def _difference(
    output: str, computed: Tensor | None, official: Tensor, tolerance: float
) -> Difference:
    if computed is None or computed.shape != official.shape:
        return Difference(output, float("inf"), passed=False)
    largest = (computed.double() - official.double()).abs().max().item()
    # Written so that a NaN does not pass.
    return Difference(output, largest, passed=largest <= tolerance)
