"""How a run is spread over devices: one process, or FSDP2 over all of them.

One strategy serves every machine: with a single device nothing is sharded; with several, on one
node or many, on GPUs or CPUs, every model is sharded over all of them by `models.sharding`.
Lightning's own ``fsdp`` is FSDP1, which refuses CPUs and mixed frozen and trained weights.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from semihvision.core.errors import InputError

SHARDED = "fsdp"
"""Value of ``trainer.strategy`` that asks for sharding, also on a single device."""


class Launch(NamedTuple):
    """Processes of this run as the launcher made them.

    Attributes:
        num_nodes: Machines.
        devices: Processes on each; ``None`` where the configuration decides.
    """

    num_nodes: int
    devices: int | None


def launched_by(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """What torchrun or Slurm has started; ``None`` where neither has.

    Args:
        environment: Environment variables.

    Raises:
        InputError: Processes are spread unevenly over nodes.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        world, local = int(environment["WORLD_SIZE"]), int(environment["LOCAL_WORLD_SIZE"])
    elif "SLURM_NTASKS" in environment and "SLURM_PROCID" in environment:
        world = int(environment["SLURM_NTASKS"])
        nodes = int(environment.get("SLURM_NNODES", "1"))
        local = world // nodes
    else:
        return None
    if world % local:
        raise InputError(f"{world} processes, {local} of them here; expected as many on every node")
    return Launch(num_nodes=world // local, devices=local)


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all devices of all nodes.

    Args:
        num_processes: How many there are in all.
    """

    def __init__(self, num_processes: int) -> None:
        # GPUs also get a gloo group: checkpoints are written from host memory.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        super().__init__(
            data_parallel_size=num_processes,
            tensor_parallel_size=1,
            process_group_backend=backend,
        )

    def model_to_device(self) -> None:
        """Leaves shards that are kept in host memory where they are."""
        if not getattr(self.lightning_module, "cpu_offload", False):
            super().model_to_device()


def trainer_arguments(
    settings: Mapping[str, Any], *, launch: Launch | None, num_visible: int
) -> dict[str, Any]:
    """Devices, nodes and strategy of a run.

    Args:
        settings: ``trainer`` of the configuration.
        launch: What the launcher has started.
        num_visible: Devices of the accelerator on this machine, for ``devices: auto``.

    Returns:
        Arguments of ``lightning.Trainer``.

    Raises:
        InputError: The configuration asks for other devices than the launcher has started.
    """
    wanted, nodes = settings.get("devices", "auto"), int(settings.get("num_nodes", 1))
    devices = _count(wanted, num_visible)
    if launch is not None:
        if wanted != "auto" and devices != launch.devices:
            raise InputError(
                f"trainer.devices is {wanted}, but {launch.devices} processes were started on this "
                "node; leave it at 'auto' or make both equal"
            )
        devices, nodes = launch.devices or devices, launch.num_nodes
    strategy = settings.get("strategy", "auto")
    if strategy not in ("auto", SHARDED):
        return {"devices": devices, "num_nodes": nodes}
    if devices * nodes > 1 or strategy == SHARDED:
        strategy = ShardedStrategy(devices * nodes)
    chosen = wanted if isinstance(wanted, list) else devices
    return {"devices": chosen, "num_nodes": nodes, "strategy": strategy}


def _count(devices: Any, num_visible: int) -> int:
    if isinstance(devices, list):
        return len(devices)
    if str(devices) in ("auto", "-1"):
        return max(1, num_visible)
    try:
        return int(devices)
    except ValueError:
        raise InputError(
            f"trainer.devices {devices!r}: expected a number, a list of indices, or 'auto'"
        ) from None
