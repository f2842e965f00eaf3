"""What a run tells while it trains: speed, waste, memory and utilisation, in MLflow and the bar."""

import resource
import time
from dataclasses import astuple
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger

from models.batch_work import BatchWork, batch_work
from semihvision.tracking import SystemMetrics
from semihvision.training.throughput import (
    FlopCounter,
    Window,
    gradient_norm,
    peak_flops,
    speed,
)

_IN_BAR = ("train/tokens_per_s", "train/mfu", "train/data_wait_percent")


class Telemetry(Callback):
    """Logs speed, waste, memory and utilisation of every step that ``log_every_n_steps`` asks for.

    Values are means since the step that was logged before, over all processes; all of a step go to
    the tracker in one call. Names: ``train/gradient_norm`` (before clipping),
    ``train/learning_rate/<part>``, ``train/tokens_per_s`` (real tokens, images expanded),
    ``train/images_per_s``, ``train/padding_percent``, ``train/data_wait_percent``,
    ``train/peak_memory_gib`` (of the process that needs most: GPU memory, else resident memory),
    ``train/tflops_per_s_and_device``, and in bfloat16 on GPUs of `models.flops.PEAK_BF16_FLOPS`
    the shares of their peak in [0, 1]: ``train/mfu_language_model``, ``train/mfu`` (encoders and
    connector too), ``train/hfu`` (recomputation too). ``data/refused`` and ``data/shortened`` are
    logged once. The loss is the stage's own ``train/loss``.

    Time is wall time, saving included, validation left out.

    Args:
        system_metrics: Let MLflow log use of processor, memory, disk and GPU of the first process's
            machine every ten seconds (``system/...``).
    """

    def __init__(self, *, system_metrics: bool = True) -> None:
        self._system = SystemMetrics() if system_metrics else None
        self._window = Window()
        self._since = 0.0
        self._waited_before = 0.0
        self._last_step = 0
        self._optimizer_metrics: dict[str, float] = {}
        self._peak: float | None = None
        self._flops: FlopCounter | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Counts the model's FLOPs and logs what is known of the data."""
        stage = cast(Any, pl_module)
        self._flops = FlopCounter(
            stage.network, stage.train_parts, stage.plan.activation_checkpointing
        )
        if pl_module.device.type == "cuda" and str(trainer.precision).startswith("bf16"):
            self._peak = peak_flops(torch.cuda.get_device_name(pl_module.device))
        summary = trainer.datamodule.summary()  # type: ignore[attr-defined]
        counts = {f"data/{name}": summary[name] for name in ("refused", "shortened")}
        for logger in trainer.loggers:
            logger.log_metrics(counts, step=trainer.global_step)
            if self._system and trainer.is_global_zero and isinstance(logger, MLFlowLogger):
                self._system.start(cast(str, logger.run_id))
        self._last_step = trainer.global_step
        self._window = Window()
        self._waited_before = _waited(trainer)
        self._since = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Counts what the batch asks for."""
        self._window.work += batch_work(batch, cast(Any, pl_module).network.config)

    def on_before_optimizer_step(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Takes the norm of the gradients before they are clipped, and the rates of this step."""
        if not _is_logged(trainer, trainer.global_step + 1):
            return
        rates = {f"train/learning_rate/{g['name']}": g["lr"] for g in optimizer.param_groups}
        norm = gradient_norm(pl_module.parameters())
        self._optimizer_metrics = {"train/gradient_norm": norm, **rates}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Logs a step whose turn it is, and starts the next window."""
        step = trainer.global_step
        if step == self._last_step or not _is_logged(trainer, step):
            return
        self._last_step = step
        now, waited = time.perf_counter(), _waited(trainer)
        self._window.seconds += now - self._since
        self._window.waited_s = waited - self._waited_before
        found = {f"train/{name}": value for name, value in self._measure(trainer).items()}
        found |= self._optimizer_metrics
        for in_bar in (True, False):
            chosen = {k: v for k, v in found.items() if (k in _IN_BAR) == in_bar}
            pl_module.log_dict(chosen, prog_bar=in_bar, on_step=True, on_epoch=False)
        self._window = Window()
        self._since, self._waited_before = now, waited

    def _measure(self, trainer: L.Trainer) -> dict[str, float]:
        module = trainer.lightning_module
        own = [*astuple(self._window.work), self._window.waited_s]
        sums: Any = torch.tensor(own, dtype=torch.float64, device=module.device)
        sums = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        memory: Any = torch.tensor(_peak_memory_bytes(module.device), device=module.device)
        memory = float(trainer.strategy.reduce(memory, reduce_op="max"))
        window = Window(
            BatchWork(*map(int, sums[:-1])), self._window.seconds, sums[-1] / trainer.world_size
        )
        flops = cast(FlopCounter, self._flops).count(window.work)
        found = speed(window, flops, devices=trainer.world_size, peak=self._peak)
        return {**found, "peak_memory_gib": memory / 2**30}

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock."""
        self._window.seconds += time.perf_counter() - self._since

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock again."""
        self._since = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends the system metrics."""
        if self._system:
            self._system.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Ends the system metrics."""
        if self._system:
            self._system.stop()


def _is_logged(trainer: L.Trainer, step: int) -> bool:
    return step % int(cast(Any, trainer).log_every_n_steps) == 0


def _waited(trainer: L.Trainer) -> float:
    """Seconds the main process has waited for training batches so far."""
    return float(cast(Any, trainer.train_dataloader).waited_s)


def _peak_memory_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
