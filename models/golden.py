"""Golden files: outputs of the official code, recomputed by the `forward` and `generate` of use.

Source: cambrian.md section 13 (the form of the file). A row without a placeholder consumes an image
in the official layout and none in ours, so its image is left out here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .checkpoint import config_from_official, load_official_checkpoint
from .modeling import PMCCambrian

TOLERANCE = 1e-5
"""Largest absolute difference allowed in float32."""

_NEEDED = (
    "inputs.input_ids",
    "inputs.attention_mask",
    "inputs.labels",
    "inputs.image_sizes_wh",
    "inputs.tower_features.0",
    "outputs.inputs_embeds",
    "outputs.expanded_attention_mask",
    "outputs.expanded_labels",
    "outputs.logits",
    "outputs.loss",
    "outputs.greedy_ids",
)


class GoldenFileError(ValueError):
    """The file cannot be read as a golden file."""


@dataclass(frozen=True)
class Golden:
    """A golden file in memory.

    Attributes:
        config: Official configuration keys.
        tensors: Entries ``weights.*``, ``inputs.*``, ``outputs.*``.
    """

    config: Mapping[str, object]
    tensors: Mapping[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Entries below a prefix, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


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


def read_golden(path: Path) -> Golden:
    """Reads a golden file.

    Raises:
        GoldenFileError: Missing, no safetensors file, or not of the described form.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = json.loads(metadata["config"])
    except (OSError, SafetensorError) as error:
        raise GoldenFileError(f"{path}: {error}; expected a safetensors file") from None
    except (KeyError, json.JSONDecodeError):
        raise GoldenFileError(
            f"{path}: no JSON under the metadata key 'config'; expected a golden file"
        ) from None
    missing = [name for name in _NEEDED if name not in tensors]
    if missing or not any(name.startswith("weights.") for name in tensors):
        raise GoldenFileError(
            f"{path}: lacks {', '.join(missing) or 'weights.*'}; expected a golden file with "
            "weights.*, inputs.* and outputs.*"
        )
    return Golden(config=config, tensors=tensors)


def model_inputs(golden: Golden, image_token_id: int) -> dict[str, object]:
    """Inputs of a golden file as `PMCCambrian.forward` takes them, labels excluded."""
    given = golden.under("inputs.")
    has_image = (given["input_ids"] == image_token_id).any(dim=1)
    features = golden.under("inputs.tower_features.")
    return {
        "input_ids": given["input_ids"],
        "attention_mask": given["attention_mask"],
        "image_sizes_wh": given["image_sizes_wh"][has_image],
        "tower_features": [features[str(t)][has_image] for t in range(len(features))],
    }


def verify(path: Path) -> list[Difference]:
    """Recomputes every output of a golden file.

    Args:
        path: The file.

    Returns:
        One difference per output.

    Raises:
        GoldenFileError: The file is unusable, or its weights do not fit its configuration.
    """
    golden = read_golden(path)
    try:
        config = config_from_official(golden.config)
        model = load_official_checkpoint(golden.under("weights."), config)
    except ValueError as error:
        raise GoldenFileError(f"{path}: {error}") from None
    return compare(model, golden)


@torch.no_grad()
def compare(model: PMCCambrian, golden: Golden) -> list[Difference]:
    """Outputs of a model against those of a golden file.

    Logits are compared where the mask is True: what stands on padding has no meaning.

    Args:
        model: Built from the golden file's weights, in float32.
        golden: The file.
    """
    inputs = model_inputs(golden, model.config.image_token_id)
    official = golden.under("outputs.")
    labels = golden.tensors["inputs.labels"]
    fused = model.fuse(**inputs, labels=labels)  # type: ignore[arg-type]
    computed = model(**inputs, labels=labels)
    num_new = official["greedy_ids"].shape[1]
    greedy = model.generate(**inputs, max_new_tokens=num_new, do_sample=False, eos_token_id=None)  # type: ignore[arg-type]
    mask = official["expanded_attention_mask"].bool()
    same_length = computed.logits.shape == official["logits"].shape
    return [
        _difference("inputs_embeds", fused.inputs_embeds, official["inputs_embeds"], TOLERANCE),
        _difference(
            "logits",
            computed.logits[mask] if same_length else computed.logits,
            official["logits"][mask] if same_length else official["logits"],
            TOLERANCE,
        ),
        _difference("loss", computed.loss, official["loss"], TOLERANCE),
        _difference("expanded_attention_mask", fused.attention_mask, mask, 0),
        _difference("expanded_labels", fused.labels, official["expanded_labels"], 0),
        _difference("greedy_ids", greedy, official["greedy_ids"], 0),
    ]


def _difference(
    output: str, computed: Tensor | None, official: Tensor, tolerance: float
) -> Difference:
    if computed is None or computed.shape != official.shape:
        return Difference(output, float("inf"), passed=False)
    largest = (computed.double() - official.double()).abs().max().item()
    # Written so that a NaN does not pass.
    return Difference(output, largest, passed=largest <= tolerance)
