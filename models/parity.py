"""Parity: a golden file's outputs, recomputed by the `forward` and `generate` of use.

Logits on padding and what `models.parity_rules` names have no meaning; they are left out by rule
and listed.

Source: cambrian.md sections 8, 9, 13, 15 and 16.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from .checkpoint import load_official_checkpoint
from .configuration import PMCCambrianConfig
from .fusion import PaddingSide
from .generation import FusedGenerationMixin
from .golden import Golden, GoldenFileError, model_inputs, read_golden
from .inputs import FusedInputs
from .modeling import PMCCambrian
from .official_config import config_from_official
from .parity_rules import kept_rows, meaningless_rows, new_tokens

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
    config = cast(PMCCambrianConfig, model.config)
    inputs = model_inputs(golden, config)
    labels = golden.tensors.get("inputs.labels")
    limit = None if config.sampler_layers else golden.row_limit
    fuse = partial(_fuse, model, inputs, limit=limit)
    computed = _compute(model, fuse(labels, golden.padding_side))
    mask, expanded_labels = computed["expanded_attention_mask"], computed["expanded_labels"]
    rules = meaningless_rows(golden, config, mask=mask, labels=expanded_labels)
    for name in OUTPUTS:
        if name not in official:
            continue
        if name in ("loss", "expanded_labels") and labels is None:
            result.left_out[name] = "inputs.labels is absent"
            continue
        rows = kept_rows(name, rules.get(name, {}), len(mask), result.left_out)
        if not rows.any():
            continue
        theirs = official[name]
        if name == "greedy_ids":
            theirs = new_tokens(golden, mask, rows)
            settings: dict[str, Any] = {"max_new_tokens": theirs.shape[1], "eos_token_id": None}
            if limit is None:
                computed[name] = model.generate(**inputs, **settings, do_sample=False)
            else:
                computed[name] = _greedy(model, fuse(None, "left"), settings)
        result.differences.append(_compared(name, computed[name], theirs, rows, mask))
    return result


def _fuse(
    model: PMCCambrian,
    inputs: dict[str, Any],
    labels: Tensor | None,
    padding_side: PaddingSide,
    *,
    limit: int | None,
) -> FusedInputs:
    """Expanded rows, cut at the limit if there is one; cut rows must have no sampler inputs."""
    fused = model.fuse(**inputs, labels=labels, padding_side=padding_side)
    mask = fused.attention_mask
    if limit is None or mask is None or int(mask.sum(dim=1).max()) <= limit:
        return fused
    cut = partial(_cut_rows, mask=mask, limit=limit, padding_side=padding_side)
    labels = fused.labels
    return FusedInputs(
        inputs_embeds=cut(fused.inputs_embeds, fill=0),
        attention_mask=cut(mask, fill=False),
        labels=None
        if labels is None
        else cut(labels.to(mask.device), fill=model.config.ignore_index),
    )


def _cut_rows(
    values: Tensor, *, mask: Tensor, limit: int, padding_side: PaddingSide, fill: float
) -> Tensor:
    """The first kept entries of every row, padded anew to the longest."""
    rows = [row[kept][:limit] for row, kept in zip(values, mask, strict=True)]
    width = max(len(row) for row in rows)
    cut = values.new_full((len(rows), width, *values.shape[2:]), fill)
    for target, row in zip(cut, rows, strict=True):
        start = width - len(row) if padding_side == "left" else 0
        target[start : start + len(row)] = row
    return cut


def _greedy(model: PMCCambrian, fused: FusedInputs, settings: dict[str, Any]) -> Tensor:
    """What `PMCCambrian.generate` decodes from rows that are fused, and cut, already."""
    mask = cast(Tensor, fused.attention_mask)
    own: Any = model
    generated: Tensor = super(FusedGenerationMixin, own).generate(
        inputs_embeds=fused.inputs_embeds,
        attention_mask=mask.long(),
        do_sample=False,
        **settings,
    )
    return generated


def _compute(model: PMCCambrian, fused: FusedInputs) -> dict[str, Any]:
    """Every output but the greedy tokens."""
    output = model(
        inputs_embeds=fused.inputs_embeds,
        attention_mask=fused.attention_mask,
        labels=fused.labels,
        sampler_inputs=fused.sampler_inputs,
    )
    return {
        "inputs_embeds": fused.inputs_embeds,
        "logits": output.logits,
        "loss": output.loss,
        "expanded_attention_mask": fused.attention_mask,
        "expanded_labels": fused.labels,
    }


def _compared(name: str, ours: Tensor, theirs: Tensor, rows: Tensor, mask: Tensor) -> Difference:
    """The difference of one output where it has a meaning."""
    tolerance = 0 if name in _EXACT else TOLERANCE
    if name == "loss" and theirs.numel() == 1:
        theirs = theirs.reshape(())
    if ours.shape != theirs.shape:
        return Difference(name, float("inf"), passed=False)
    if name == "logits":
        chosen = mask & rows[:, None]
        ours, theirs = ours[chosen], theirs[chosen]
    elif name == "greedy_ids":
        ours, theirs = ours[rows], theirs[rows]
    largest = (ours.double() - theirs.double()).abs().max().item()
    # Written so that a NaN does not pass.
    return Difference(name, largest, passed=largest <= tolerance)
