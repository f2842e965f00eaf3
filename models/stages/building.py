"""A stage's model, from a preset or a folder, in one process or sharded over several."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from models.acceleration import ActivationCheckpointing, accelerate_blocks
from models.configuration import PMCCambrianConfig
from models.lora import LoRASettings, adapter_start, add_lora, is_adapter, merged_name
from models.modeling import PMCCambrian
from models.parts import PARTS, part_of
from models.sharding import fill, shard
from models.stages.unread import unread_parameters
from models.tower_weights import TowerWeights, load_tower_weights
from models.towers import VisionTower
from models.weight_files import FolderTensors
from semihvision.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """What a stage's model is made of and how it runs.

    Attributes:
        config: Sizes. Where towers are trained, no dtype of their own is left in it: they are
            float32 from the start, for sums of small updates need it.
        folder: Model folder with its weights; None: random ones.
        parts: Parts that are trained, without the blocks of towers that nothing is read of.
        tower_weights: Source of published weights by tower name.
        lora: Adapters in place of the language model's weights; None for none.
        activation_checkpointing: See `models.acceleration`.
        compiled: See `models.acceleration`.
        seed: Of the adapters' start values.

    Raises:
        InputError: Unknown parts or none, or adapters in a language model that is not trained.
    """

    config: PMCCambrianConfig
    folder: Path | None
    parts: tuple[str, ...]
    tower_weights: Mapping[str, str] = field(default_factory=dict)
    lora: LoRASettings | None = None
    activation_checkpointing: ActivationCheckpointing = "none"
    compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown or not self.parts:
            raise InputError(f"train_parts {unknown or '[]'}: expected some of {', '.join(PARTS)}")
        if self.lora is not None and "language_model" not in self.parts:
            raise InputError(
                f"lora: this stage does not train the language model, only "
                f"{', '.join(self.parts)}; leave lora out, or use stage 2 or 3"
            )
        if "towers" in self.parts:
            config = copy.deepcopy(self.config)
            config.towers = [tower | {"dtype": None} for tower in config.towers]
            object.__setattr__(self, "config", config)


class Built(NamedTuple):
    """A model and the published weights its towers were given."""

    model: PMCCambrian
    towers: dict[str, TowerWeights]


def build(plan: ModelPlan, *, compute_dtype: torch.dtype | None = None) -> Built:
    """The model in one process.

    Args:
        plan: What to build.
        compute_dtype: What autocast computes in. Frozen weights that it holds exactly, as those of
            a published bfloat16 checkpoint, are kept in it: at 8B that saves 15 GiB, and as much
            again in copies. ``None`` keeps all weights as they are.
    """
    if plan.folder is None:
        model = _random_model(plan)
    else:
        # Trained weights are float32 whatever the folder holds: sums of small updates need it.
        model = PMCCambrian.from_pretrained(plan.folder, config=plan.config, dtype=torch.float32)
    towers: list[Any] = list(model.towers)
    loaded = {
        tower.spec.name: load_tower_weights(tower, plan.tower_weights[tower.spec.name])
        for tower in towers
        if tower.spec.name in plan.tower_weights
    }
    _prepare(model, plan)
    if compute_dtype is not None:
        _lower_frozen(model, compute_dtype)
    return Built(model, loaded)


def _random_model(plan: ModelPlan) -> PMCCambrian:
    """Start values from the host's generator: a seed gives the same ones on every device."""
    with torch.device("cpu"):
        return PMCCambrian(plan.config)


def build_sharded(
    plan: ModelPlan,
    mesh: DeviceMesh,
    *,
    device: torch.device,
    compute_dtype: torch.dtype | None,
    cpu_offload: bool,
) -> Built:
    """The same model, sharded; every process calls it and none but the first holds it whole.

    The first process reads one tensor of a folder at a time; random weights it makes as a whole.

    Args:
        plan: What to build.
        mesh: One-dimensional.
        device: Where shards are computed with.
        compute_dtype: See `models.sharding.shard`.
        cpu_offload: See `models.sharding.shard`.
    """
    model = meta_model(plan)
    shard(model, mesh, compute_dtype=compute_dtype, cpu_offload=cpu_offload)
    start = StartValues(plan) if mesh.get_rank() == 0 else None
    value = start.value if start else None
    fill(model, value, device=torch.device("cpu") if cpu_offload else device)
    return Built(model, start.loaded_towers if start else {})


def meta_model(plan: ModelPlan) -> PMCCambrian:
    """The same model on the meta device: shapes, dtypes and what is trained, without weights."""
    with torch.device("meta"):
        model = PMCCambrian(plan.config)
    _prepare(model, plan)
    return model


def _prepare(model: PMCCambrian, plan: ModelPlan) -> None:
    """Modes, what is trained, adapters, and how blocks run; the order matters."""
    # transformers hands models over in evaluation mode.
    model.train()
    # Frozen batch norms, where a tower has some, keep their published statistics.
    model.towers.train("towers" in plan.parts)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in plan.parts)
    if "towers" in plan.parts:
        towers: list[Any] = list(model.towers)
        for tower in towers:
            unread = unread_parameters(tower.spec)
            for name, parameter in tower.named_parameters():
                parameter.requires_grad_(name not in unread)
    if plan.lora is not None:
        add_lora(model, plan.lora, seed=plan.seed)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"nothing is trained: the model has no parameters in {list(plan.parts)}")
    accelerate_blocks(
        model, activation_checkpointing=plan.activation_checkpointing, compiled=plan.compiled
    )


def _lower_frozen(model: PMCCambrian, dtype: torch.dtype) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad and part_of(name) != "towers":
            lowered = parameter.data.to(dtype)
            if torch.equal(lowered.to(parameter.dtype), parameter.data):
                parameter.data = lowered


class StartValues:
    """Start value of every name of a model's state, as `build` would give it.

    Args:
        plan: What is built.
    """

    def __init__(self, plan: ModelPlan) -> None:
        self._plan = plan
        self.loaded_towers: dict[str, TowerWeights] = {}
        self._tower_state: tuple[str, dict[str, Tensor]] = ("", {})
        self._plain: Callable[[str], Tensor]
        if plan.folder is None:
            self._plain = _random_model(plan).state_dict().__getitem__
        else:
            self._plain = FolderTensors(plan.folder).read
        self._adapters: dict[str, torch.Size] = {}
        if plan.lora is not None:
            with torch.device("meta"):
                model = PMCCambrian(plan.config)
            add_lora(model, plan.lora)
            named = model.named_parameters()
            self._adapters = {name: p.shape for name, p in named if is_adapter(name)}

    def value(self, name: str) -> Tensor:
        """The whole tensor."""
        if name in self._adapters:
            return adapter_start(name, self._adapters[name], seed=self._plan.seed)
        if name.startswith("towers."):
            number = name.split(".")[1]
            spec = self._plan.config.tower_specs[int(number)]
            if spec.name in self._plan.tower_weights:
                return self._tower(number)[name.removeprefix(f"towers.{number}.")]
        return self._plain(merged_name(name) or name)

    def _tower(self, number: str) -> dict[str, Tensor]:
        """State of a tower with its published weights; only one tower is held at a time."""
        if self._tower_state[0] != number:
            tower = VisionTower(self._plan.config.tower_specs[int(number)])
            source = self._plan.tower_weights[tower.spec.name]
            self.loaded_towers[tower.spec.name] = load_tower_weights(tower, source)
            self._tower_state = (number, tower.state_dict())
        return self._tower_state[1]
