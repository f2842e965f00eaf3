"""Golden files: inputs, weights and outputs of the official code, as `models.parity` needs them.

Source: cambrian.md sections 8 (the official expansion) and 13 (the form of the file). Two habits of
the official layout are undone on the inputs, since ours has neither: a row without a placeholder
consumes an image, and an expanded row is cut at ``tokenizer_model_max_length``. Where no sampler
runs in the decoder, the cut may go through an image: `models.parity` then cuts our own expanded
rows, whose beginnings do not depend on what follows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .configuration import PMCCambrianConfig
from .padding import kept_grid


class GoldenFileError(ValueError):
    """The file cannot be read as a golden file."""


@dataclass(frozen=True)
class Golden:
    """A golden file in memory.

    Attributes:
        config: Official configuration keys.
        tensors: Entries ``weights.*``, ``inputs.*``, ``outputs.*``.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Entries below a prefix, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }

    @property
    def padding_side(self) -> Literal["left", "right"]:
        """Side on which the official code padded shorter rows."""
        side = self.config.get("tokenizer_padding_side", "right")
        if side not in ("left", "right"):
            raise GoldenFileError(f"tokenizer_padding_side is {side!r}; expected left or right")
        return "left" if side == "left" else "right"

    @property
    def row_limit(self) -> int | None:
        """Tokens at which the official code cut expanded rows."""
        limit: int | None = self.config.get("tokenizer_model_max_length")
        return limit


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
    except OSError as error:
        reason = error.strerror or str(error)
        raise GoldenFileError(f"{path}: {reason}; expected a safetensors file") from None
    except SafetensorError:
        raise GoldenFileError(
            f"{path}: not in the safetensors format, or damaged; expected a safetensors file that "
            "holds a golden case"
        ) from None
    except (KeyError, json.JSONDecodeError):
        config = None
    if not isinstance(config, dict):
        raise GoldenFileError(
            f"{path}: no JSON object under the metadata key 'config'; expected a golden file"
        )
    missing = ["inputs.input_ids"] if "inputs.input_ids" not in tensors else []
    if not {"outputs.logits", "outputs.inputs_embeds"} & tensors.keys():
        missing.append("outputs.logits or outputs.inputs_embeds")
    if not any(name.startswith("weights.") for name in tensors):
        missing.append("weights.*")
    if missing:
        raise GoldenFileError(
            f"{path}: lacks {', '.join(missing)}; expected a golden file with weights.*, inputs.* "
            "and outputs.*"
        )
    return Golden(config=config, tensors=tensors)


def model_inputs(golden: Golden, config: PMCCambrianConfig) -> dict[str, Any]:
    """Inputs of a golden file as `PMCCambrian.forward` takes them, labels excluded.

    Args:
        golden: The file.
        config: Configuration of the model that shall read them.

    Raises:
        GoldenFileError: The towers' features are not numbered 0, 1, ..., or the official cut goes
            through an image that samplers inside the decoder read and write as a whole.
    """
    given = golden.under("inputs.")
    ids = given["input_ids"]
    mask = given.get("attention_mask", torch.ones_like(ids)).bool()
    sizes = given.get("image_sizes_wh", torch.zeros(0, 2, dtype=torch.int64))
    if ids.dim() != 2 or mask.shape != ids.shape or sizes.dim() != 2 or sizes.shape[1] != 2:
        raise GoldenFileError(
            f"inputs.input_ids {tuple(ids.shape)}, inputs.attention_mask {tuple(mask.shape)}, "
            f"inputs.image_sizes_wh {tuple(sizes.shape)}; expected (B, L), (B, L) and (B, 2)"
        )
    by_tower = golden.under("inputs.tower_features.")
    if by_tower.keys() != {str(t) for t in range(len(by_tower))}:
        raise GoldenFileError(
            f"inputs.tower_features holds {sorted(by_tower)}; expected 0, 1, ... without a gap"
        )
    features = [by_tower[str(t)] for t in range(len(by_tower))]
    placeholders = ((ids == config.image_token_id) & mask).sum(dim=1).tolist()
    if len(sizes) == consumed_images(placeholders):
        used = [flag for number in placeholders for flag in [True] * number or [False]]
        sizes = sizes[used]
        features = [tower[used] for tower in features]
    limit = golden.row_limit
    if limit is not None and config.sampler_layers:
        mask = _cut(ids, mask, sizes.tolist(), config, limit)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "image_sizes_wh": sizes,
        "tower_features": features,
    }


def consumed_images(placeholders: Sequence[int]) -> int:
    """Images that the official layout takes for rows with these numbers of placeholders."""
    return sum(max(number, 1) for number in placeholders)


def _cut(
    ids: Tensor,
    mask: Tensor,
    sizes_wh: list[tuple[int, int]],
    config: PMCCambrianConfig,
    limit: int,
) -> Tensor:
    """The attention mask without the tokens that lie behind the limit once images are expanded."""
    images = iter(sizes_wh)
    kept = mask.clone()
    for i, row in enumerate(ids.tolist()):
        length = 0
        for j in mask[i].nonzero()[:, 0].tolist():
            is_image = row[j] == config.image_token_id
            size = next(images, None) if is_image else None
            length += kept_grid(*size, config.image_side).num_tokens if size else 1
            if length <= limit:
                continue
            if is_image:
                raise GoldenFileError(
                    f"row {i}: tokenizer_model_max_length {limit} ends before or inside an image; "
                    "expected a file whose images are whole, or of a model without samplers in "
                    "its decoder"
                )
            kept[i, j] = False
    return kept
