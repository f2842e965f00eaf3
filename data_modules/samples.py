"""Reading samples: records to the examples that can be used, what each takes of a row, and counts.

Images are looked for but not decoded; one that turns out to be unreadable is an error when its turn
comes.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.examples import SPLITS, Use, examples_of
from data_modules.packing import Packing, Row, SampleSize, over_budget, padding_fraction, plan_rows
from semihvision.core.batch import Example, Processor, SampleFit
from semihvision.core.counts import has
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.lineage import Contents
from semihvision.core.paths import inside
from semihvision.core.record import Record

UNANNOTATED = "unannotated"
"""Kind of the refusal of a record without any text, question or conversation."""


@dataclass(kw_only=True)
class Samples:
    """What was read.

    Attributes:
        splits: Usable examples by our name of the split, in the records' order.
        sizes: What each training example takes of a row; empty without packing.
        rows: Packed rows of training examples; empty without packing.
        shortened: Examples of which the end is cut off.
        contents: Counts over the records, for the model card.
        data_hash: SHA-256 over the records.
        records: By source, how many there are.
        unannotated: By source, records without any text, question or conversation.
        bare: Of these, those without regions and labels: there is nothing to describe them with.
    """

    splits: dict[str, list[Example]] = field(
        default_factory=lambda: {s: [] for s in SPLITS.values()}
    )
    sizes: list[SampleSize] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    shortened: int = 0
    contents: Contents = field(default_factory=Contents)
    data_hash: str = ""
    records: Counter[str] = field(default_factory=Counter)
    unannotated: Counter[str] = field(default_factory=Counter)
    bare: Counter[str] = field(default_factory=Counter)

    def by_split(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {split: len(examples) for split, examples in self.splits.items()}

    def counts(self, packing: Packing | None) -> dict[str, float]:
        """Numbers for the tracker: samples by split, shortened ones, and what packing leaves empty.

        Args:
            packing: What the rows were planned with.
        """
        counts: dict[str, float] = {f"samples/{k}": n for k, n in self.by_split().items()}
        counts["shortened"] = self.shortened
        counts["synthetic_records"] = self.contents.synthetic.total()
        if packing is not None and self.rows:
            counts["packed/rows"] = len(self.rows)
            padding = padding_fraction(self.rows, packing)
            counts["packed/padding_percent"] = round(100 * padding, 2)
        return counts


@dataclass(frozen=True, kw_only=True)
class SampleReader:
    """How records become samples.

    Attributes:
        roots: Root folder of every source.
        processor: Says how long a sample is, or that it is too long; None takes all.
        refused: Gets samples and records that cannot be used, with the reason.
        uses: Which parts of a record become samples.
        validation_fraction: Share of training groups held out for validation.
        seed: Decides which groups those are, and between rows of equal size.
        packing: Budget of a row; None: one sample a row.
        weights: How often an epoch shows samples of a source; 1 if not named.
    """

    roots: Mapping[str, Path]
    processor: Processor | None
    refused: RefusalLog
    uses: Sequence[Use]
    validation_fraction: float
    seed: int
    packing: Packing | None
    weights: Mapping[str, float]

    def read(self, records: Iterable[Record]) -> Samples:
        """Reads all records once.

        Raises:
            InputError: A row cannot hold one image, or a record is in a split that is not known.
        """
        if self.packing is not None:
            self._check_budget(self.packing)
        made = Samples()
        for example in examples_of(
            self._noted(records, made),
            uses=self.uses,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        ):
            if self._is_usable(example, made):
                made.splits[example.split].append(example)
        if self.packing is not None and made.splits["train"]:
            made.rows = plan_rows(made.sizes, self.packing, seed=self.seed)
        return made

    def _noted(self, records: Iterable[Record], made: Samples) -> Iterator[Record]:
        """The same records, hashed and counted on their way."""
        digest = hashlib.sha256()
        for record in records:
            digest.update(record.model_dump_json().encode())
            made.contents.add(record)
            made.records[record.source] += 1
            if not any(
                record.current(parts)  # type: ignore[type-var]
                for parts in (record.texts, record.qa, record.conversations)
            ):
                made.unannotated[record.source] += 1
                made.bare[record.source] += has(record) == "images only"
                reason = "no text, question or conversation; `semihvision annotate` writes some"
                self.refused.add(record.record_id, reason=reason, kind=UNANNOTATED)
            yield record
        made.data_hash = digest.hexdigest()

    def _check_budget(self, packing: Packing) -> None:
        if self.processor is None:
            raise InputError("packing needs a processor; the command line links it")
        image_tokens = self.processor.expanded_length(1, [(1, 1)])
        if image_tokens > packing.tokens:
            raise InputError(
                f"packing.tokens is {packing.tokens}, but a square image alone takes "
                f"{image_tokens} tokens; raise packing.tokens above that"
            )

    def _is_usable(self, example: Example, made: Samples) -> bool:
        """Whether a sample can be encoded; refused and listed now, not in mid-epoch."""
        try:
            for image in example.images:
                if not inside(self.roots[example.source], image.path).is_file():
                    raise InputError(f"{image.path}: no such image", kind="missing_image")
            if self.processor is not None:
                sizes = [(image.width, image.height) for image in example.images]
                fit = self.processor.check(example.example_id, example.turns, sizes)
                if self.packing is not None and example.split == "train":
                    made.sizes.append(self._size(example, fit, self.packing))
                made.shortened += fit.shortened
        except InputError as error:
            self.refused.add(example.example_id, reason=str(error), kind=error.kind)
            return False
        return True

    def _size(self, example: Example, fit: SampleFit, packing: Packing) -> SampleSize:
        """What a training sample takes of a packed row."""
        size = SampleSize(
            tokens=fit.length,
            images=len(example.images),
            shared_tokens=fit.shared_length,
            shares=(example.source, example.images, fit.shared_hash),
            weight=self.weights.get(example.source, 1.0),
        )
        problem = over_budget(size, packing)
        if problem:
            raise InputError(f"sample {example.example_id}: {problem}", kind="over_budget")
        return size


def askable(
    examples: Iterable[Example], processor: Processor, refused: RefusalLog
) -> list[Example]:
    """The examples that can be asked as they are; the others are listed as refused."""
    kept = []
    for example in examples:
        sizes = [(image.width, image.height) for image in example.images]
        try:
            processor.check_prompt(example.example_id, example.turns, sizes)
        except InputError as error:
            refused.add(example.example_id, reason=str(error), kind=error.kind)
        else:
            kept.append(example)
    return kept


def check_weights(weights: Mapping[str, float], sources: Collection[str] | None = None) -> None:
    """Looks at how often samples of each source are to be shown.

    Args:
        weights: By source.
        sources: Known sources; None if they are not known yet.

    Raises:
        InputError: A weight is negative or of a source that is not there.
    """
    if min(weights.values(), default=1.0) < 0:
        raise InputError(f"source_weights {weights}: expected no negative one")
    unknown = [] if sources is None else sorted(weights.keys() - set(sources))
    if unknown:
        raise InputError(
            f"source_weights {unknown}: no such sources here; known: {sorted(sources or ())}"
        )
