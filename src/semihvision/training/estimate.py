"""What a run will take, before it: memory, tokens, steps, hours, energy; no GPU, no image is read.

Sizes come from the model on the meta device, tokens from the data module's planned lengths or from
given numbers, operations from `models.flops`, time from those at a stated utilisation (MFU).
Recomputation counts against the utilisation, not in the operations. Energy is that of the GPUs at
their thermal design power all the time: an upper bound without processors, network and cooling.
"""

import math
from dataclasses import astuple, dataclass, replace
from typing import Any, NamedTuple

from models.batch_work import BatchWork
from models.flops import PEAK_BF16_FLOPS, decoder_flops, image_flops
from models.stages.building import ModelPlan, meta_model
from semihvision.core.errors import InputError
from semihvision.training.activations import BatchShape
from semihvision.training.memory import HEADROOM, Layout, MemoryBytes, memory_bytes


class GPU(NamedTuple):
    """A GPU's limits.

    Attributes:
        memory_gib: What a process can use of its memory.
        power_w: Thermal design power. Source: NVIDIA's data sheets of the SXM parts.
    """

    memory_gib: float
    power_w: float


GPUS = {"h100": GPU(79, 700), "h200": GPU(139, 700), "a100": GPU(79, 400)}
"""Known GPUs; of the A100 the one with 80 GB."""


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """What an epoch holds, and how it is cut into steps.

    Attributes:
        work: Of all its samples.
        items: Samples, or packed rows.
        items_per_batch: Of one process.
        batches_per_step: Of one process (accumulation).
        largest: The largest batch of a process.
    """

    work: BatchWork
    items: int
    items_per_batch: int
    batches_per_step: int
    largest: BatchShape

    def steps(self, ranks: int) -> int:
        """Optimizer steps of an epoch."""
        return math.ceil(self.items / (self.items_per_batch * ranks * self.batches_per_step))


@dataclass(frozen=True, kw_only=True)
class RunTime:
    """How long a run takes.

    Attributes:
        epochs: How often the data are shown, less where ``max_steps`` ends a run before.
        steps: Optimizer steps.
        tokens: Real tokens, images expanded.
        images: Images encoded.
        pflops: Operations of all steps, in 10^15.
        hours: Of the whole run.
        gpu_hours: Of all GPUs together.
        energy_kwh: Of all GPUs at their design power.
    """

    epochs: float
    steps: int
    tokens: int
    images: int
    pflops: float
    hours: float
    gpu_hours: float
    energy_kwh: float


def divide(global_batch_size: int, batch_size: int, accumulate: int, ranks: int) -> tuple[int, int]:
    """Items of a process's batch, and batches of a step, as the data module divides them.

    Args:
        global_batch_size: Items of a step; 0 where the other three decide.
        batch_size: Most items of a process and batch.
        accumulate: Batches of a step; goes with ``global_batch_size`` 0.
        ranks: Processes.

    Raises:
        InputError: The global batch cannot be divided.
    """
    if not global_batch_size:
        return batch_size, accumulate
    own, rest = divmod(global_batch_size, ranks)
    if rest or not own:
        raise InputError(
            f"global_batch_size {global_batch_size} cannot be divided by {ranks} GPUs; change one "
            "of them"
        )
    largest = max(n for n in range(1, batch_size + 1) if own % n == 0)
    return largest, own // largest


def run_time(
    plan: ModelPlan,
    epoch: EpochPlan,
    *,
    epochs: int,
    max_steps: int,
    gpu: str,
    gpus: int,
    mfu: float,
) -> RunTime:
    """Time and energy.

    Args:
        plan: The model.
        epoch: Its data.
        epochs: How often they are shown.
        max_steps: Ends the run before; -1 for never.
        gpu: Name in `GPUS`.
        gpus: How many.
        mfu: Share of their peak that the step's own operations reach, encoders counted; in (0, 1].
    """
    steps = epochs * epoch.steps(gpus)
    shown = float(epochs)
    if 0 <= max_steps < steps:
        steps, shown = max_steps, epochs * max_steps / steps
    flops = shown * epoch_flops(plan, epoch.work)
    seconds = flops / (mfu * PEAK_BF16_FLOPS[gpu] * gpus)
    gpu_hours = seconds / 3600 * gpus
    return RunTime(
        epochs=shown,
        steps=steps,
        tokens=round(shown * epoch.work.tokens),
        images=round(shown * epoch.work.images),
        pflops=flops / 1e15,
        hours=seconds / 3600,
        gpu_hours=gpu_hours,
        energy_kwh=gpu_hours * GPUS[gpu].power_w / 1000,
    )


def epoch_flops(plan: ModelPlan, work: BatchWork) -> float:
    """Operations that some samples ask for: forward, and backward where something is trained."""
    model = meta_model(replace(plan, activation_checkpointing="none", compiled=False))
    image = image_flops(plan.config, plan.parts)
    decoder, _ = decoder_flops(
        model.language_model,
        tokens=work.tokens,
        pairs=work.pairs,
        scored_tokens=work.scored_tokens,
    )
    return decoder.total + (image.encoders + image.connector).total * work.images


def fits(memory: MemoryBytes, gpu: str) -> bool:
    """Whether a GPU holds it, `HEADROOM` left free."""
    return memory.device_total <= (1 - HEADROOM) * GPUS[gpu].memory_gib * 2**30


class Change(NamedTuple):
    """A change of the configuration and the memory it leads to."""

    text: str
    memory: MemoryBytes


_Tried = tuple[str, Layout, BatchShape]


def changes_that_fit(
    plan: ModelPlan, layout: Layout, batch: BatchShape, *, items: int, gpu: str
) -> list[Change]:
    """What to change so that a run fits: one thing, else several together; perhaps nothing does.

    Args:
        plan: The model.
        layout: How it runs now.
        batch: The largest batch of a process now.
        items: Samples or rows in it.
        gpu: Name in `GPUS`.
    """
    chunked = replace(layout, loss="chunked")
    full = replace(layout, activation_checkpointing="full")
    small = {n: _part(batch, n / items) for n in (items // 2, 1) if 0 < n < items}
    more = [n * layout.ranks for n in (2, 4, 8)]
    single: list[_Tried] = [
        ("loss: chunked", chunked, batch),
        ("activation_checkpointing: full", full, batch),
        *((f"batch_size: {n}", layout, part) for n, part in small.items()),
        *((f"--gpus {n}", replace(layout, ranks=n), batch) for n in more),
    ]
    least, together = _part(batch, 1 / items), replace(full, loss="chunked")
    text = "loss: chunked, activation_checkpointing: full, batch_size: 1"
    several: list[_Tried] = [(text, together, least)]
    if layout.shards:
        offload = replace(together, cpu_offload=True)
        several.append((f"{text}, cpu_offload: true", offload, least))
    several += [(f"{text}, --gpus {n}", replace(together, ranks=n), least) for n in more]
    for tried in (single, several):
        changes = [Change(text, memory_bytes(plan, how, part)) for text, how, part in tried]
        found = [change for change in changes if fits(change.memory, gpu)]
        if found:
            return found
    return []


def _part(batch: BatchShape, share: float) -> BatchShape:
    return BatchShape(*(math.ceil(share * n) for n in astuple(batch)))


def stage_plan(stage_class: Any, arguments: dict[str, Any]) -> ModelPlan:
    """The model of a stage from its configuration, which may name files that are not there yet.

    Args:
        stage_class: A stage.
        arguments: Its ``init_args``.

    Raises:
        InputError: No such preset or parts, or nothing is trained.
    """
    from models.lora import LoRASettings
    from models.presets import preset

    parts = arguments["train_parts"]
    lora = arguments["lora"]
    try:
        config = preset(arguments["preset"])
        adapters = None if lora is None else LoRASettings(**_plain(lora))
    except ValueError as error:
        raise InputError(str(error)) from None
    return ModelPlan(
        config=config,
        folder=None,
        parts=tuple(stage_class.parts if parts is None else parts),
        lora=adapters,
        activation_checkpointing=arguments["activation_checkpointing"],
    )


def _plain(settings: Any) -> dict[str, Any]:
    values = dict(settings) if isinstance(settings, dict) else vars(settings)
    return values | {"target_modules": tuple(values["target_modules"])}
