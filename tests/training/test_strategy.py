"""Devices and strategy from the launcher, the configuration and the machine."""

from typing import Any

import pytest

from semihvision.core.errors import InputError
from semihvision.training.strategy import Launch, ShardedStrategy, launched_by, trainer_arguments

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (TORCHRUN, Launch(2, 8)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_NNODES": "4"}, Launch(4, 4)),
        # A shell inside an allocation is no launched process.
        ({"SLURM_NTASKS": "16"}, None),
    ],
)
def test_launchers(environment: dict[str, str], expected: Launch | None) -> None:
    assert launched_by(environment) == expected


def test_an_uneven_launch_is_refused() -> None:
    with pytest.raises(InputError, match="9 processes, 8 of them here"):
        launched_by(TORCHRUN | {"WORLD_SIZE": "9"})


@pytest.mark.parametrize(
    ("settings", "launch", "visible", "world"),
    [
        ({"devices": 1}, None, 8, 1),
        ({"devices": "auto"}, None, 8, 8),
        ({"devices": "auto"}, None, 0, 1),
        ({"devices": [0, 3]}, None, 8, 2),
        ({"devices": "auto"}, Launch(2, 8), 8, 16),
        ({"devices": 8}, Launch(2, 8), 8, 16),
        ({"devices": 1, "strategy": "fsdp"}, None, 8, 1),
    ],
)
def test_one_strategy_for_every_machine(
    settings: dict[str, Any], launch: Launch | None, visible: int, world: int
) -> None:
    found = trainer_arguments(settings, launch=launch, num_visible=visible)
    if world == 1 and "strategy" not in settings:
        assert found["strategy"] == "auto"
    else:
        assert isinstance(found["strategy"], ShardedStrategy)
        assert found["strategy"]._data_parallel_size == world


def test_what_a_user_chooses_is_left_alone_and_a_contradiction_refused() -> None:
    assert "strategy" not in trainer_arguments(
        {"devices": 2, "strategy": "ddp"}, launch=None, num_visible=1
    )
    with pytest.raises(InputError, match="8 processes were started"):
        trainer_arguments({"devices": 4}, launch=Launch(1, 8), num_visible=8)
    with pytest.raises(InputError, match="expected a number"):
        trainer_arguments({"devices": "many"}, launch=None, num_visible=8)
