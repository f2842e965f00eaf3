"""Records to batches: the LightningDataModules.

`SourceDataModule` reads one source's own files below `root` through that source's reader.
`SemiHVisionDataModule` (its own file) reads the augmented mix from Parquet. What a sample looks
like to the model is decided by the processor, which the command line links in from the stage.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch
from PIL.Image import Image
from torch.utils.data import Dataset

from data_modules.example_dataset import ExampleDataset, Prepared
from data_modules.examples import SPLITS, Use, examples_of
from data_modules.loader import Loader
from data_modules.order import Order, ShardedBatches, fixed_order, shuffled_order
from data_modules.packed_dataset import PackedDataset
from data_modules.packing import (
    Packing,
    Row,
    SampleSize,
    over_budget,
    padding_fraction,
    plan_rows,
)
from data_modules.reading import reader_of
from semihvision.core.batch import (
    Batch,
    Example,
    Processor,
    SampleFit,
)
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import read_image
from semihvision.core.lineage import Contents
from semihvision.core.paths import inside
from semihvision.core.record import Record


class RecordDataModule(L.LightningDataModule):
    """Shared by all data modules: splits, datasets, loaders, the data hash.

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
        if min(self.source_weights.values(), default=1.0) < 0:
            raise InputError(f"source_weights {self.source_weights}: expected no negative one")
        self._start = (0, 0)
        self.num_workers = num_workers
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.packing = packing
        self.packed_rows: list[Row] = []
        self.refused = RefusalLog()
        self.shortened = 0
        self._prepared: Prepared | None = {} if cache_images else None
        self.contents = Contents()
        self._examples: dict[str, list[Example]] = {}
        self.sizes: list[SampleSize] = []
        self._data_hash = ""
        self._order_hash = ""

    def records(self) -> Iterator[Record]:
        """Yields all records; what cannot be read goes to `self.refused`."""
        raise NotImplementedError

    def roots(self) -> dict[str, Path]:
        """Root folder of every source."""
        raise NotImplementedError

    @property
    def data_hash(self) -> str:
        """SHA-256 over the records in use; known after `setup`."""
        return self._data_hash

    @property
    def order_hash(self) -> str:
        """SHA-256 over training samples, their rows and their order; known after `setup` of a fit.

        Records, uses, validation share, longest sample, packing, weights and seed decide it.
        """
        return self._order_hash

    def examples(self, split: str) -> list[Example]:
        """The examples of a split; reads the records at the first call."""
        if not self._examples:
            self._read()
        return self._examples.get(split, [])

    def setup(self, stage: str) -> None:
        """Reads the records once in every process."""
        wanted = {"fit": "train", "validate": "validation", "test": "test", "predict": "test"}[
            stage
        ]
        if stage == "predict":
            self._refuse_long_prompts(wanted)
        if not self.examples(wanted):
            found = {split: len(items) for split, items in self._examples.items()}
            raise InputError(
                f"{type(self).__name__}: no samples in split {wanted!r} for uses {self.uses}; "
                f"found {found}, refused {self.refused.counts() or 'none'}. Many too long or over "
                "budget: raise max_length of the stage or packing.tokens above an image's tokens"
            )
        if stage == "fit":
            self._check_weights()
            self._plan_steps()
            self._order_hash = self._hash_order()

    def _check_weights(self) -> None:
        unknown = sorted(self.source_weights.keys() - self.roots().keys())
        if unknown:
            raise InputError(
                f"source_weights {unknown}: no such sources here; known: {sorted(self.roots())}"
            )

    def _hash_order(self) -> str:
        ids = [example.example_id for example in self.examples("train")]
        rows = [row.segments for row in self.packed_rows]
        order = list(self._order("train", shuffle=True)(0))
        return hashlib.sha256(json.dumps([ids, rows, order]).encode()).hexdigest()

    def _plan_steps(self) -> None:
        """Divides `global_batch_size` into processes, batches and accumulation."""
        if not self.global_batch_size or self.trainer is None:
            return
        own, rest = divmod(self.global_batch_size, self.trainer.world_size)
        if rest or not own:
            raise InputError(
                f"global_batch_size {self.global_batch_size} cannot be divided by "
                f"{self.trainer.world_size} devices; change one of them"
            )
        if self.trainer.accumulate_grad_batches != 1:
            raise InputError(
                "global_batch_size and trainer.accumulate_grad_batches are both given; expected one"
            )
        self.batch_size = max(n for n in range(1, self.batch_size + 1) if own % n == 0)
        self.trainer.accumulate_grad_batches = own // self.batch_size

    def state_dict(self) -> dict[str, Any]:
        """How far the training data are used: the epoch, and its samples on all devices together.

        To be asked for when a batch has ended.
        """
        if self.trainer is None:
            raise RuntimeError("the data module is attached to no trainer")
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        epoch = self.trainer.current_epoch
        if done >= self.trainer.num_training_batches:
            return {"epoch": epoch + 1, "used": 0}
        return {"epoch": epoch, "used": done * self.batch_size * self.trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken, also with another number of devices.

        Raises:
            InputError: The used samples are no whole number of this run's optimizer steps.
        """
        if self.trainer is not None:
            step = self.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches
            if state_dict["used"] % step:
                raise InputError(
                    f"the checkpoint has used {state_dict['used']} samples of its epoch, which is "
                    f"no multiple of this run's {step} a step; set global_batch_size to that of "
                    "the run that is resumed"
                )
        self._start = (state_dict["epoch"], state_dict["used"])

    @property
    def batches_used(self) -> int:
        """Batches of this process that the epoch which is resumed has used."""
        world_size = 1 if self.trainer is None else self.trainer.world_size
        return self._start[1] // (self.batch_size * world_size)

    def _check_packing(self, packing: Packing) -> None:
        image_tokens = self._needed_processor().expanded_length(1, [(1, 1)])
        if image_tokens > packing.tokens:
            raise InputError(
                f"packing.tokens is {packing.tokens}, but a square image alone takes "
                f"{image_tokens} tokens; raise packing.tokens above that"
            )

    def _read(self) -> None:
        if self.packing is not None:
            self._check_packing(self.packing)
        digest, contents = hashlib.sha256(), Contents()

        def hashed() -> Iterator[Record]:
            for record in self.records():
                digest.update(record.model_dump_json().encode())
                contents.add(record)
                yield record

        splits: dict[str, list[Example]] = {split: [] for split in SPLITS.values()}
        for example in examples_of(
            hashed(),
            uses=self.uses,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        ):
            if self._usable(example):
                splits[example.split].append(example)
        self._examples = splits
        if self.packing is not None and splits["train"]:
            self.packed_rows = plan_rows(self.sizes, self.packing, seed=self.seed)
        self._data_hash = digest.hexdigest()
        self.contents = contents

    def _usable(self, example: Example) -> bool:
        """Whether a sample can be encoded; refused and listed now, not in the middle of an epoch.

        Images are looked for but not decoded; one that turns out to be unreadable is an error when
        its turn comes.
        """
        try:
            for image in example.images:
                if not inside(self.roots()[example.source], image.path).is_file():
                    raise InputError(f"{image.path}: no such image", kind="missing_image")
            if self.processor is not None:
                sizes = [(image.width, image.height) for image in example.images]
                fit = self.processor.check(example.example_id, example.turns, sizes)
                if self.packing is not None and example.split == "train":
                    self._measure(example, fit, self.packing)
                self.shortened += fit.shortened
        except InputError as error:
            self.refused.add(example.example_id, reason=str(error), kind=error.kind)
            return False
        return True

    def _refuse_long_prompts(self, split: str) -> None:
        """Leaves samples that cannot be asked out of a split: shortening is for training only."""
        askable = []
        for example in self.examples(split):
            sizes = [(image.width, image.height) for image in example.images]
            try:
                self._needed_processor().check_prompt(example.example_id, example.turns, sizes)
            except InputError as error:
                self.refused.add(example.example_id, reason=str(error), kind=error.kind)
            else:
                askable.append(example)
        self._examples[split] = askable

    def _measure(self, example: Example, fit: SampleFit, packing: Packing) -> None:
        """Notes what a training sample takes of a packed row."""
        size = SampleSize(
            tokens=fit.length,
            images=len(example.images),
            shared_tokens=fit.shared_length,
            shares=(example.source, example.images, fit.shared_hash),
            weight=self.source_weights.get(example.source, 1.0),
        )
        problem = over_budget(size, packing)
        if problem:
            raise InputError(f"sample {example.example_id}: {problem}", kind="over_budget")
        self.sizes.append(size)

    def summary(self) -> dict[str, float]:
        """Counts by split, of refused and shortened samples and of packing, for the tracker."""
        counts: dict[str, float] = {
            f"samples/{name}": len(items) for name, items in self._examples.items()
        }
        counts["refused"] = len(self.refused.items)
        counts["shortened"] = self.shortened
        if self.packing is not None and self.packed_rows:
            counts["packed/rows"] = len(self.packed_rows)
            padding = padding_fraction(self.packed_rows, self.packing)
            counts["packed/padding_percent"] = round(100 * padding, 2)
        return counts

    def dataset(self, split: str, *, prompts_only: bool = False) -> ExampleDataset:
        """The samples of a split, one by one.

        Args:
            split: ``train``, ``validation`` or ``test``.
            prompts_only: Stop before the last answer, for generation.
        """
        return ExampleDataset(
            self.examples(split),
            roots=self.roots(),
            processor=self._needed_processor(),
            prepared=self._prepared,
            prompts_only=prompts_only,
        )

    def prompts(self, split: str, indices: Sequence[int]) -> Batch:
        """Some samples of a split without their answers, for generation.

        Args:
            split: ``train``, ``validation`` or ``test``.
            indices: Their numbers in `examples`.
        """
        samples = self.dataset(split, prompts_only=True)
        return self._needed_processor().collate([samples[index] for index in indices])

    def pictures(self, example: Example) -> list[Image]:
        """The images of an example as they are on disk, 8-bit.

        Args:
            example: One of `examples`.
        """
        root = self.roots()[example.source]
        return [read_image(root, image) for image in example.images]

    def _needed_processor(self) -> Processor:
        if self.processor is None:
            raise InputError(f"{type(self).__name__} needs a processor; the command line links it")
        return self.processor

    def _loader(self, split: str, *, shuffle: bool, prompts_only: bool = False) -> Loader:
        dataset: Dataset[Any] = self.dataset(split, prompts_only=prompts_only)
        collate: Callable[[Any], Batch] = self._needed_processor().collate
        if self.packing is not None and shuffle:
            dataset = PackedDataset(self.dataset(split), self.packed_rows)
            pack = self._needed_processor().pack
            collate = partial(pack, row_length=self.packing.tokens)
        # Prompts are no part of a step: every process that predicts gets all of them.
        batches: dict[str, Any] = (
            {"batch_size": self.batch_size}
            if prompts_only
            else {"batch_sampler": self._batches(split, shuffle=shuffle)}
        )
        return Loader(
            dataset,
            **batches,
            # Its own generator, so that starting workers draws nothing from the global one.
            generator=torch.Generator().manual_seed(self.seed),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=collate,
        )

    def _batches(self, split: str, *, shuffle: bool) -> ShardedBatches:
        """Batches of this process."""
        batches = ShardedBatches(
            self._order(split, shuffle=shuffle),
            batch_size=self.batch_size,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
        )
        if shuffle:
            batches.start_at(epoch=self._start[0], used=self._start[1])
        return batches

    def _order(self, split: str, *, shuffle: bool) -> Order:
        examples = self.examples(split)
        if not shuffle:
            return fixed_order(len(examples))
        if self.packing is not None:
            return shuffled_order([row.weight for row in self.packed_rows], seed=self.seed)
        weights = [self.source_weights.get(example.source, 1.0) for example in examples]
        return shuffled_order(weights, seed=self.seed)

    def train_dataloader(self) -> Loader:
        """Training samples in a new order every epoch, which `seed` decides."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> Loader | list[Loader]:
        """Validation samples; an empty list where there are none."""
        return self._loader("validation", shuffle=False) if self.examples("validation") else []

    def test_dataloader(self) -> Loader:
        """Test samples with their answers, for the test loss."""
        return self._loader("test", shuffle=False)

    def predict_dataloader(self) -> Loader:
        """Test samples without their answers, for generation."""
        return self._loader("test", shuffle=False, prompts_only=True)


class SourceDataModule(RecordDataModule):
    """One source, read from its owner's own files.

    Args:
        root: Folder with the owner's files, as the source's module describes them.
        options: Options of the source's reader, e.g. `neighbours` of DeepLesion.
        **settings: Those of `RecordDataModule`.
    """

    source: ClassVar[str] = ""

    def __init__(
        self,
        root: str,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.root = Path(root)
        self.options = options

    def records(self) -> Iterator[Record]:
        """Yields the records of the source's reader."""
        yield from reader_of(self.source, self.options)(self.root, self.refused)

    def roots(self) -> dict[str, Path]:
        """The one root."""
        return {self.source: self.root}
