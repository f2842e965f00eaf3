"""Whether a checkpoint is of the run that wants to go on from it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L

from semihvision.core.errors import InputError

_DATA_HASHES = ("data_hash", "order_hash")


def run_facts(trainer: L.Trainer) -> dict[str, str]:
    """What a run that goes on must have in common with the one that was saved.

    The model folder that it starts from counts by what is in it, not by its path: frozen weights
    are in no checkpoint. Hashing it takes a while; the first process alone asks.
    """
    stage: Any = trainer.lightning_module
    facts: dict[str, str] = stage.resume_facts()
    data = trainer.datamodule  # type: ignore[attr-defined]
    # Used samples are counted: another order would repeat some and leave others out.
    return facts | {name: str(getattr(data, name, "")) for name in _DATA_HASHES}


def check_same_run(folder: Path, saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuses a checkpoint of another run.

    Args:
        folder: The checkpoint.
        saved: Facts it was saved with.
        now: Facts of this run.

    Raises:
        InputError: They differ; all differences are listed.
    """
    different = [
        f"{name} {saved.get(name)!r}, now {now.get(name)!r}"
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name) != now.get(name)
    ]
    if different:
        raise InputError(
            f"{folder} is a checkpoint of another run: it has {'; '.join(different)}. Give this "
            "run a dirpath of its own, or the settings of the run that is to go on (order_hash: "
            "records, uses, validation_fraction, max_length, packing, source_weights and seed; "
            "init_from_hash: what is in the folder init_from, wherever that is; tower_weights: "
            "what is in these files)"
        )


def on_first_process(trainer: L.Trainer, check: Callable[[], None]) -> None:
    """Lets the first process check something, and ends all of them if it refuses.

    Raises:
        InputError: That of the first process, in every process.
    """
    refusal: InputError | None = None
    if trainer.is_global_zero:
        try:
            check()
        except InputError as error:
            refusal = error
    message = trainer.strategy.broadcast(None if refusal is None else str(refusal))
    if message is not None:
        raise InputError(message) from refusal
