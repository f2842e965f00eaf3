"""Samples to batches: the dataset of a split, the order of its samples, the loader."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import Dataset

from data_modules.example_dataset import ExampleDataset, Prepared
from data_modules.loader import Loader
from data_modules.order import Order, ShardedBatches, fixed_order, shuffled_order
from data_modules.packed_dataset import PackedDataset
from data_modules.packing import Packing
from data_modules.samples import Samples
from data_modules.steps import Progress
from semihvision.core.batch import Batch, Processor


@dataclass(frozen=True, kw_only=True)
class BatchMaker:
    """Makes the loaders of one process.

    Attributes:
        samples: What was read.
        roots: Root folder of every source.
        processor: Encodes samples and puts them together.
        prepared: Keeps prepared images; None to prepare them anew.
        packing: Budget of a row of training samples; None: one sample a row.
        weights: How often an epoch shows the samples of a source; 1 if not named.
        seed: Of the order of training samples.
        batch_size: Most samples (rows, where they are packed) of a batch.
        num_workers: Loader processes.
        trainer: Of the run: it knows this process among others, and whether it has a GPU; None
            outside of a run.
        start: How far the training data are used already.
    """

    samples: Samples
    roots: dict[str, Path]
    processor: Processor
    prepared: Prepared | None
    packing: Packing | None
    weights: Mapping[str, float]
    seed: int
    batch_size: int
    num_workers: int
    trainer: L.Trainer | None
    start: Progress

    def dataset(self, split: str, *, prompts_only: bool = False) -> ExampleDataset:
        """The samples of a split, one by one; see `RecordDataModule.dataset`."""
        return ExampleDataset(
            self.samples.splits.get(split, []),
            roots=self.roots,
            processor=self.processor,
            prepared=self.prepared,
            prompts_only=prompts_only,
        )

    def training(self) -> Loader:
        """Training samples or packed rows, in a new order every epoch."""
        dataset: Dataset[Any] = self.dataset("train")
        collate: Callable[[Any], Batch] = self.processor.collate
        if self.packing is not None:
            dataset = PackedDataset(self.dataset("train"), self.samples.rows)
            collate = partial(self.processor.pack, row_length=self.packing.tokens)
        batches = self._batches(training_order(self.samples, self.packing, self.weights, self.seed))
        batches.start_at(epoch=self.start.epoch, used=self.start.used)
        return self._loader(dataset, collate, batch_sampler=batches)

    def in_order(self, split: str) -> Loader:
        """The samples of a split in their order, with their answers."""
        batches = self._batches(fixed_order(len(self.samples.splits[split])))
        return self._loader(self.dataset(split), self.processor.collate, batch_sampler=batches)

    def prompts(self, split: str) -> Loader:
        """The samples of a split without their answers.

        They are no part of a step: every process that predicts gets all of them.
        """
        dataset = self.dataset(split, prompts_only=True)
        return self._loader(dataset, self.processor.collate, batch_size=self.batch_size)

    def _batches(self, order: Order) -> ShardedBatches:
        if self.trainer is None:
            return ShardedBatches(order, batch_size=self.batch_size)
        return ShardedBatches(
            order,
            batch_size=self.batch_size,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def _feeds_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _loader(
        self, dataset: Dataset[Any], collate: Callable[[Any], Batch], **batches: Any
    ) -> Loader:
        return Loader(
            dataset,
            **batches,
            # Its own generator, so that starting workers draws nothing from the global one.
            generator=torch.Generator().manual_seed(self.seed),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            # A step at 8B sizes has 200 MB of pixels; from pageable memory a GPU waits for them.
            pin_memory=self._feeds_gpu(),
            collate_fn=collate,
        )


def training_order(
    samples: Samples, packing: Packing | None, weights: Mapping[str, float], seed: int
) -> Order:
    """The order of training samples, or of packed rows."""
    if packing is not None:
        return shuffled_order([row.weight for row in samples.rows], seed=seed)
    own = [weights.get(example.source, 1.0) for example in samples.splits["train"]]
    return shuffled_order(own, seed=seed)


def order_hash(samples: Samples, order: Order) -> str:
    """SHA-256 over training samples, their rows and their order in the first epoch."""
    ids = [example.example_id for example in samples.splits["train"]]
    rows = [row.segments for row in samples.rows]
    return hashlib.sha256(json.dumps([ids, rows, list(order(0))]).encode()).hexdigest()
