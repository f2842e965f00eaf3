"""Small runs of `fit` for tests: in this process, in forked ones, killed, resumed, sharded."""

import json
import multiprocessing
import os
import signal
import socket
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from models.stages import Stage
from semihvision.training.strategy import launched_by, trainer_arguments


class Losses(Callback):
    """Appends step and loss to a file, and ends the process after a step if told so."""

    def __init__(self, file: Path, *, signal_after: int = 0, number: int = signal.SIGKILL) -> None:
        self.file = file
        self.signal_after = signal_after
        self.number = number
        self.last_step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        step = trainer.global_step
        if trainer.is_global_zero and step != self.last_step:
            with self.file.open("a") as out:
                out.write(json.dumps([step, pl_module.step_loss]) + "\n")
        self.last_step = step
        if step and step == self.signal_after:
            os.kill(os.getpid(), self.number)


def read_losses(file: Path) -> dict[int, float]:
    """Loss by step; of a step that ran twice the last one."""
    return {step: loss for step, loss in map(json.loads, file.read_text().splitlines())}


def twin_of_vqa_rad(root: Path, stage: Stage, **settings: Any) -> L.LightningDataModule:
    """Training data of a test."""
    from data_modules import VQARADDataModule

    return VQARADDataModule(
        root=str(root), processor=stage.processor, validation_fraction=0.0, **settings
    )


def fit(
    stage: Stage,
    data: L.LightningDataModule,
    *,
    folder: Path,
    callbacks: list[Callback],
    accelerator: str = "cpu",
    **trainer: Any,
) -> L.Trainer:
    """A run on as many processes as the environment says."""
    settings: dict[str, Any] = {"devices": 1} if launched_by() is None else {}
    settings = trainer_arguments(settings | trainer, launch=launched_by(), num_visible=1)
    run = L.Trainer(
        accelerator=accelerator,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        callbacks=callbacks,
        **(trainer | settings),
    )
    run.fit(stage, datamodule=data)
    return run


def run_forked(
    task: Callable[[], Any],
    world_size: int = 1,
    *,
    ends_with: int = 0,
    timeout_s: float = 240,
) -> list[Any]:
    """Runs a task in forked processes that know each other as torchrun's do.

    Args:
        task: What to run; reads its rank from the environment.
        world_size: How many processes.
        ends_with: Exit code that is expected of all.
        timeout_s: After which all are killed.

    Returns:
        What the task returned in each process; None where it did not come back.
    """
    context = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes, results, codes = [], [], []
    for rank in range(world_size):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(task, rank, world_size, port, sender))
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside threads; the children use none of the parent's.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        sender.close()
        processes.append((process, receiver))
    for process, receiver in processes:
        try:
            found = receiver.recv() if receiver.poll(timeout_s) else "timeout"
        except EOFError:
            found = None
        process.join(timeout_s)
        if process.is_alive():
            process.kill()
            process.join()
        results.append(found)
        codes.append(process.exitcode)
    for found in results:
        if isinstance(found, BaseException):
            raise AssertionError("a forked process failed") from found
    assert codes == [ends_with] * world_size, (codes, results)
    return results


def _child(task: Callable[[], Any], rank: int, world_size: int, port: int, sender: Any) -> None:
    torch.set_num_threads(1)
    # A command run in this process before leaves its seed here, and Lightning's distributed
    # strategies draw anew from it where those of one process do not.
    os.environ.pop("PL_GLOBAL_SEED", None)
    if world_size > 1:
        os.environ |= {
            "TORCHELASTIC_RUN_ID": "test",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "GROUP_RANK": "0",
            "WORLD_SIZE": str(world_size),
            "LOCAL_WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    try:
        sender.send(task())
    except Exception as error:
        traceback.print_exc()
        sender.send(RuntimeError(f"{type(error).__name__}: {error}"))
    finally:
        sender.close()
