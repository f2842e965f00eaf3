"""Low-rank adapters on the language model's linear maps, through `peft`.

The base maps are frozen and get a neighbour of low rank that learns (LoRA, arXiv 2106.09685). A
parameter's name keeps the part it belongs to as its first component: adapters of
``language_model.model.layers.0.self_attn.q_proj.weight`` are
``language_model.model.layers.0.self_attn.q_proj.lora_A.default.weight`` and ``.lora_B...``, and the
weight itself moves to ``.q_proj.base_layer.weight``. `merged_tensors` undoes both.

`peft` is imported when adapters are asked for, and only then.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .modeling import PMCCambrian

ADAPTER = "default"
"""peft's name of the one adapter."""

LINEAR_MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear maps of a decoder layer, as Llama, Qwen2 and Mistral call them."""

_BASE = ".base_layer."
_DOWN = f".lora_A.{ADAPTER}.weight"
_UP = f".lora_B.{ADAPTER}.weight"


@dataclass(frozen=True, kw_only=True)
class LoRASettings:
    """Adapters of the language model; everything else of a stage trains in full.

    Attributes:
        rank: Width of the adapters.
        alpha: Their sum is scaled by ``alpha / rank``.
        dropout: Share of an adapter's inputs that is dropped while training, in [0, 1).
        target_modules: Last names of the linear maps that get an adapter.
    """

    rank: int = 64
    alpha: float = 128.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] = LINEAR_MAPS

    def __post_init__(self) -> None:
        """Refuses settings that make no adapter."""
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"lora: rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}; expected "
                "rank >= 1, alpha > 0 and 0 <= dropout < 1"
            )

    @property
    def scaling(self) -> float:
        """Factor of the product of both low-rank maps."""
        return self.alpha / self.rank


def add_lora(model: PMCCambrian, settings: LoRASettings, *, seed: int = 0) -> None:
    """Freezes the language model and gives its linear maps adapters that change nothing yet.

    Args:
        model: Gets the adapters in place.
        settings: What they are.
        seed: Of their start values; each depends on it and the parameter's name alone, so that
            every process draws the same ones.

    Raises:
        ValueError: A name of ``target_modules`` occurs nowhere; those that occur are listed.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    linear = {
        name.rpartition(".")[2]
        for name, module in model.language_model.model.named_modules()
        if isinstance(module, nn.Linear)
    }
    unknown = sorted(set(settings.target_modules) - linear)
    if unknown or not settings.target_modules:
        raise ValueError(
            f"lora: target_modules {unknown or '[]'} are not in this language model; its linear "
            f"maps are {', '.join(sorted(linear))}"
        )
    model.language_model.requires_grad_(False)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=list(settings.target_modules),
    )
    # peft draws start values that are replaced below: no generator may notice.
    with torch.random.fork_rng():
        inject_adapter_in_model(config, model.language_model, adapter_name=ADAPTER)
    for module in model.language_model.modules():
        if isinstance(module, LoraLayer):
            # peft would widen every input to the adapter's float32, and autocast narrow it again:
            # the same numbers, and a copy of its input kept for every adapter.
            module.cast_input_dtype_enabled = False
    for name, parameter in model.named_parameters():
        if is_adapter(name) and not parameter.is_meta:
            with torch.no_grad():
                parameter.copy_(adapter_start(name, parameter.shape, seed=seed))


def is_adapter(parameter_name: str) -> bool:
    """Whether a parameter is one of an adapter."""
    return parameter_name.endswith((_DOWN, _UP))


def adapter_start(parameter_name: str, shape: torch.Size, *, seed: int) -> Tensor:
    """Start value of an adapter's parameter: peft's default distribution, drawn by name.

    Args:
        parameter_name: As ``model.named_parameters()`` gives it.
        shape: Of the parameter.
        seed: See `add_lora`.

    Returns:
        float32, in host memory: Lightning builds models with a GPU as the default device, which
        the host's generator cannot fill. Zeros for the map up, U(-1/√inputs, 1/√inputs) for the
        map down.
    """
    if parameter_name.endswith(_UP):
        return torch.zeros(shape, device="cpu")
    number = hashlib.sha256(f"{seed}/{parameter_name}".encode()).digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(number) >> 1)
    bound = float(shape[1]) ** -0.5
    return torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator)


def merged_name(parameter_name: str) -> str | None:
    """Name of a parameter in a model without adapters; ``None`` for an adapter's own."""
    return None if is_adapter(parameter_name) else parameter_name.replace(_BASE, ".")


def merged_tensors(
    names: list[str], tensor: Callable[[str], Tensor], settings: LoRASettings | None
) -> Iterator[tuple[str, Tensor]]:
    """The weights of the plain model, one after the other.

    Args:
        names: All names of the model's state.
        tensor: Value of a name; called once for each, in the same order in every process.
        settings: Of the adapters; ``None`` where the model has none.

    Yields:
        Names of the plain model and their tensors: ``W + scaling · up @ down`` in float32, rounded
        to W's dtype, where a map has an adapter.
    """
    known = set(names)
    for name in names:
        plain = merged_name(name)
        if plain is None:
            continue
        value = tensor(name)
        stem = name.rpartition(_BASE)[0]
        if settings is not None and stem + _DOWN in known and name.endswith(".weight"):
            down, up = tensor(stem + _DOWN).float(), tensor(stem + _UP).float()
            merged = value.float() + settings.scaling * (up @ down)
            value = merged.to(value.dtype)
        yield plain, value
