"""Lightning's hooks of a stage: loss, gradients, clipping, validation, answers, checkpoints."""

from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor

from models.attention_masks import Attention
from models.modeling import PMCCambrian
from models.processing import PMCCambrianProcessor
from models.stages.batches import RowLosses, answers, row_losses, run
from models.stages.window import StepWindow, scale_gradients
from semihvision.core.batch import Batch


class Steps(L.LightningModule):
    """Lightning's hooks, which can only be methods; `Stage` is the rest."""

    processor: PMCCambrianProcessor
    attention: Attention
    max_new_tokens: int
    train_parts: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self.model: PMCCambrian | None = None
        self._window = StepWindow()

    @property
    def network(self) -> PMCCambrian:
        """The model; an error before `configure_model`."""
        if self.model is None:
            raise RuntimeError("the model is built in configure_model(), which has not run yet")
        return self.model

    @property
    def sharded(self) -> bool:
        """Whether the strategy shards. Generation runs on whole models, so `predict` never does."""
        return self.device_mesh is not None and not self.trainer.predicting

    @property
    def scaler(self) -> object | None:
        """float16's scaler of gradients, where the run has one."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's own; it refuses fused optimizers also where there is no scaler."""
        if self.scaler is not None:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
        elif gradient_clip_val:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(
                self.trainer.precision_plugin, optimizer, gradient_clip_val, algorithm
            )

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch, summed over its trained tokens; `backward` makes the step's mean."""
        # Training in one process does what several do, so that momentum moves the same weights.
        output = run(self.network, batch, needs_image=True)
        loss_sum = cast(Tensor, output.loss_sum)
        self._window.add(loss_sum, cast(Tensor, output.num_trained_tokens))
        self._ends_step = self._is_last_of_step(batch_index)
        return loss_sum

    def _is_last_of_step(self, batch_index: int) -> bool:
        every = self.trainer.accumulate_grad_batches
        return (batch_index + 1) % every == 0 or self.trainer.is_last_batch

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Sums gradients; after a step's last batch, divides them by all its trained tokens.

        This runs before every hook and callback that looks at gradients.
        """
        super().backward(loss, *args, **kwargs)
        if not self._ends_step:
            return
        # A scaled loss may have gradients that overflow: its scaler then leaves the step out.
        checked = self.network.parameters() if self.scaler is None else ()
        mean, num_tokens = self._window.close(checked)
        # Lightning has divided the sums by the batches of a step, the strategy by the processes.
        divided_by = self.trainer.accumulate_grad_batches * self.trainer.world_size
        scale_gradients(self.network.parameters(), divided_by / num_tokens)
        self.step_loss = mean

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Logs the mean loss over the trained tokens of the step, on all processes."""
        self.log("train/loss", self.step_loss, prog_bar=True)

    def validation_step(self, batch: Batch, batch_index: int) -> RowLosses:
        """Logs the mean validation loss over trained tokens; losses by row are for callbacks."""
        return self._evaluation_step(batch, "validation/loss")

    def test_step(self, batch: Batch, batch_index: int) -> RowLosses:
        """Logs the mean test loss over trained tokens; losses by row are for callbacks."""
        return self._evaluation_step(batch, "test/loss")

    def _evaluation_step(self, batch: Batch, name: str) -> RowLosses:
        output = run(self.network, batch, needs_image=self.sharded)
        num_tokens = int(cast(Tensor, output.num_trained_tokens))
        mean = cast(Tensor, output.loss_sum) / max(num_tokens, 1)
        self.log(name, mean, prog_bar=True, batch_size=num_tokens, sync_dist=True)
        return row_losses(output, batch)

    def predict_step(self, batch: Batch, batch_index: int) -> list[dict[str, str]]:
        """Greedy answers: one ``{"id": ..., "answer": ...}`` per sample."""
        return answers(
            self.network,
            self.processor,
            batch,
            attention=self.attention,
            max_new_tokens=self.max_new_tokens,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves frozen towers out: they are known by name and come from their own weights."""
        if "towers" not in self.train_parts:
            state = checkpoint["state_dict"]
            for name in [name for name in state if name.startswith("model.towers.")]:
                del state[name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts this model's own frozen towers back where a checkpoint left them out."""
        if "towers" not in self.train_parts:
            state = checkpoint["state_dict"]
            for name, value in self.state_dict().items():
                if name.startswith("model.towers."):
                    state.setdefault(name, value)
