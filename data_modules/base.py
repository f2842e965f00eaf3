"""Records to batches: what all LightningDataModules here have in common.

`data_modules.source.SourceDataModule` is one source, `data_modules.semihvision` a mix of several.
What a sample looks like to the model is decided by the processor, which the command line links in
from the stage; which samples there are by `data_modules.samples`, how many make a step by
`data_modules.steps`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from PIL.Image import Image

from data_modules.batches import BatchMaker, order_hash, training_order
from data_modules.example_dataset import ExampleDataset, Prepared
from data_modules.examples import Use
from data_modules.loader import Loader
from data_modules.packing import Packing
from data_modules.samples import SampleReader, Samples, askable, check_weights
from data_modules.steps import Progress, plan_step, progress_of, resumed
from data_modules.unannotated import check_annotated
from semihvision.core.batch import Batch, Example, Processor
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.lineage import Contents
from semihvision.core.record import Record

_SPLIT_OF_STAGE = {"fit": "train", "validate": "validation", "test": "test", "predict": "test"}


class RecordDataModule(L.LightningDataModule, ABC):
    """Shared by all data modules: splits, datasets, loaders, the data hash.

    A data module says which records there are and where their images lie; all else is here.

    Args:
        processor: Decides what a sample looks like; linked in from the stage by the command line.
        uses: Which parts of a record become samples.
        batch_size: Most samples per device and batch.
        global_batch_size: Samples of one optimizer step on all devices together; batches and their
            accumulation follow from it and the number of devices. 0: as many as ``batch_size``,
            devices and ``trainer.accumulate_grad_batches`` make.
        source_weights: How often an epoch shows the samples of a source, by name; 1 if not named.
            Of 0.5 every epoch shows another half.
        num_workers: Loader processes; 0 loads in the main process.
        validation_fraction: Share of training groups held out for validation, beside any
            validation split of the owner.
        seed: Seed of the sample order and of the held-out groups.
        cache_images: Keep prepared images in memory. Worth it for small sets with many questions
            an image and small towers; with the 8B towers one image takes 15 MB.
        packing: Pack training samples into rows of this budget; `batch_size` then counts rows.
            None: one sample a row.
    """

    record_files: Sequence[Path] = ()
    """Parquet files the records come from; none where they are the owner's own files."""

    def __init__(
        self,
        *,
        processor: Processor | None = None,
        uses: list[Use] | None = None,
        batch_size: int = 8,
        global_batch_size: int = 0,
        source_weights: dict[str, float] | None = None,
        num_workers: int = 0,
        validation_fraction: float = 0.05,
        seed: int = 0,
        cache_images: bool = False,
        packing: Packing | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= validation_fraction < 1:
            raise InputError(f"validation_fraction {validation_fraction}: expected 0 <= f < 1")
        if cache_images and num_workers > 0:
            raise InputError("cache_images keeps images in the main process: set num_workers to 0")
        self.processor = processor
        self.uses: list[Use] = uses or ["qa", "conversations"]
        self.batch_size = batch_size
        self.global_batch_size = global_batch_size
        self.source_weights = source_weights or {}
        check_weights(self.source_weights)
        self.num_workers = num_workers
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.packing = packing
        self.refused = RefusalLog()
        self._prepared: Prepared | None = {} if cache_images else None
        self._start = Progress()
        self._order_hash = ""

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Yields all records; what cannot be read goes to `self.refused`."""

    @abstractmethod
    def roots(self) -> dict[str, Path]:
        """Root folder of every source."""

    @cached_property
    def samples(self) -> Samples:
        """What there is to train, validate and test on; read when it is first asked for."""
        reader = SampleReader(
            roots=self.roots(),
            processor=self.processor,
            refused=self.refused,
            uses=self.uses,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
            packing=self.packing,
            weights=self.source_weights,
        )
        samples = reader.read(self.records())
        check_annotated(samples, self.roots(), self.record_files)
        return samples

    @property
    def data_hash(self) -> str:
        """SHA-256 over the records in use."""
        return self.samples.data_hash

    @property
    def contents(self) -> Contents:
        """What the records are made from, for the model card."""
        return self.samples.contents

    @property
    def order_hash(self) -> str:
        """SHA-256 over training samples, their rows and their order; known after `setup` of a fit.

        Records, uses, validation share, longest sample, packing, weights and seed decide it.
        """
        return self._order_hash

    def examples(self, split: str) -> list[Example]:
        """The examples of a split."""
        return self.samples.splits.get(split, [])

    def setup(self, stage: str) -> None:
        """Reads the records once in every process; says what is wrong with them or the settings."""
        wanted = _SPLIT_OF_STAGE[stage]
        if stage == "predict":
            # Shortening is for training only.
            splits = self.samples.splits
            splits[wanted] = askable(splits[wanted], self._needed_processor(), self.refused)
        if not self.examples(wanted):
            raise InputError(
                f"{type(self).__name__}: no samples in split {wanted!r} for uses {self.uses}; "
                f"found {self.samples.by_split()}, refused {self.refused.counts() or 'none'}. Many "
                "too long or over budget: raise max_length of the stage or packing.tokens above an "
                "image's tokens"
            )
        if stage == "fit":
            check_weights(self.source_weights, self.roots())
            self._plan_steps()
            order = training_order(self.samples, self.packing, self.source_weights, self.seed)
            self._order_hash = order_hash(self.samples, order)

    def _plan_steps(self) -> None:
        """Divides `global_batch_size` into processes, batches and accumulation."""
        if self.global_batch_size and self.trainer is not None:
            self.batch_size, self.trainer.accumulate_grad_batches = plan_step(
                self.global_batch_size,
                batch_size=self.batch_size,
                world_size=self._world_size,
                num_batches=self.trainer.accumulate_grad_batches,
            )

    def state_dict(self) -> dict[str, Any]:
        """How far the training data are used; to be asked for when a batch has ended."""
        if self.trainer is None:
            raise RuntimeError("the data module is attached to no trainer")
        return progress_of(self.trainer, batch_size=self.batch_size)._asdict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken, also with another number of devices."""
        num_batches = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        step = self.batch_size * self._world_size * num_batches
        self._start = resumed(state_dict, samples_per_step=None if self.trainer is None else step)

    @property
    def batches_used(self) -> int:
        """Batches of this process that the epoch which is resumed has used."""
        return self._start.used // (self.batch_size * self._world_size)

    def summary(self) -> dict[str, float]:
        """Counts by split, of refused and shortened samples and of packing, for the tracker."""
        return self.samples.counts(self.packing) | {"refused": len(self.refused.items)}

    def dataset(self, split: str, *, prompts_only: bool = False) -> ExampleDataset:
        """The samples of a split, one by one; of prompts the last answer is left out."""
        return self._batches().dataset(split, prompts_only=prompts_only)

    def prompts(self, split: str, indices: Sequence[int]) -> Batch:
        """Samples of a split, by their numbers in `examples`, without their answers."""
        samples = self.dataset(split, prompts_only=True)
        return self._needed_processor().collate([samples[index] for index in indices])

    def pictures(self, example: Example) -> list[Image]:
        """The images of an example as they are on disk, 8-bit."""
        root = self.roots()[example.source]
        return [read_image(root, image) for image in example.images]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Sends pixels only: what becomes of ids and labels is planned in host memory."""
        moved = [pixels.to(device, non_blocking=True) for pixels in batch["pixel_values"]]
        return {**batch, "pixel_values": moved}

    def train_dataloader(self) -> Loader:
        """Training samples in a new order every epoch, which `seed` decides."""
        return self._batches().training()

    def val_dataloader(self) -> Loader | list[Loader]:
        """Validation samples; an empty list where there are none."""
        return self._batches().in_order("validation") if self.examples("validation") else []

    def test_dataloader(self) -> Loader:
        """Test samples with their answers, for the test loss."""
        return self._batches().in_order("test")

    def predict_dataloader(self) -> Loader:
        """Test samples without their answers, for generation."""
        return self._batches().prompts("test")

    def _batches(self) -> BatchMaker:
        return BatchMaker(
            samples=self.samples,
            roots=self.roots(),
            processor=self._needed_processor(),
            prepared=self._prepared,
            packing=self.packing,
            weights=self.source_weights,
            seed=self.seed,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            trainer=self.trainer,
            start=self._start,
        )

    def _needed_processor(self) -> Processor:
        if self.processor is None:
            raise InputError(f"{type(self).__name__} needs a processor; the command line links it")
        return self.processor

    @property
    def _world_size(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size
