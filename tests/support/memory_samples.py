"""Training samples in memory, for machines that have the torch stack and nothing else."""

from typing import Any

import lightning as L
from PIL import Image
from torch.utils.data import DataLoader

from data_modules.order import ShardedBatches, shuffled_order
from models.stages import Stage
from semihvision.core.batch import EncodedSample, Turn

SIDES = ("left", "right", "top", "bottom")


class MemorySamples(L.LightningDataModule):
    """Twenty questions about gradients; goes on in an epoch as the real data modules do.

    Args:
        stage: Its processor encodes them.
        batch_size: Samples of all processes together.
        text_only: Every other question comes without an image.
    """

    data_hash = "memory"

    def __init__(self, stage: Stage, *, batch_size: int = 8, text_only: bool = False) -> None:
        super().__init__()
        self.processor = stage.processor
        self.batch_size = batch_size
        self._start = (0, 0)
        self._text_only = text_only
        self._samples = [self._sample(number) for number in range(20)]

    def _sample(self, number: int) -> EncodedSample:
        image = Image.linear_gradient("L").rotate(90 * (number % 4)).resize((96, 48 + number))
        has_image = not self._text_only or number % 2 == 0
        placeholder = "<image>\n" if has_image else ""
        turns = (
            Turn("human", placeholder + f"Number {number}: which side is bright?"),
            Turn("gpt", f"It is the {SIDES[number % 4]}. " * (1 + number % 3)),
        )
        pixels = self.processor.prepare_image(image.convert("RGB"))
        return self.processor.encode(str(number), turns, [pixels] * has_image)

    def train_dataloader(self) -> Any:
        assert self.trainer is not None
        batches = ShardedBatches(
            shuffled_order([1.0] * len(self._samples), seed=0),
            batch_size=self.batch_size // self.trainer.world_size,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        batches.start_at(epoch=self._start[0], used=self._start[1])
        return DataLoader(
            self._samples,  # type: ignore[arg-type]
            batch_sampler=batches,
            collate_fn=self.processor.collate,
        )

    def state_dict(self) -> dict[str, int]:
        assert self.trainer is not None
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if done >= self.trainer.num_training_batches:
            return {"epoch": self.trainer.current_epoch + 1, "used": 0}
        return {"epoch": self.trainer.current_epoch, "used": done * self.batch_size}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._start = (state_dict["epoch"], state_dict["used"])

    @property
    def batches_used(self) -> int:
        return self._start[1] // self.batch_size
