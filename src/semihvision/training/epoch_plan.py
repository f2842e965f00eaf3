"""What an epoch asks for, from a data module's planned lengths or from given numbers."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from models.batch_work import BatchWork
from models.configuration import PMCCambrianConfig
from models.padding import kept_grid
from semihvision.core.batch import Example
from semihvision.core.errors import InputError
from semihvision.training.activations import BatchShape
from semihvision.training.estimate import EpochPlan


def from_data(data: Any, *, items_per_batch: int, batches_per_step: int) -> EpochPlan:
    """Reads the records, looks for their images, and decodes none.

    Trained tokens are taken to be all text, which is a few percent too much work at most.

    Args:
        data: A `data_modules.base.RecordDataModule` with a processor.
        items_per_batch: Samples or rows of a process's batch.
        batches_per_step: Of one process.

    Raises:
        InputError: No sample is left to train on.
    """
    examples = data.examples("train")
    if not examples:
        raise InputError("no training samples; look at `uses` and at what was refused")
    items = list(_packed(data) if data.packing is not None else _single(data, examples))
    works = [work for work, _ in items]
    total = [
        sum(weight * part for (_, weight), part in zip(items, parts, strict=True))
        for parts in zip(*(_counts(work) for work in works), strict=True)
    ]
    longest = data.packing.tokens if data.packing is not None else max(w.positions for w in works)
    largest = BatchShape(
        positions=items_per_batch * longest,
        scored_tokens=items_per_batch * max(work.scored_tokens for work in works),
        images=items_per_batch * max(work.images for work in works),
    )
    return EpochPlan(
        work=BatchWork(*map(round, total)),
        items=round(sum(weight for _, weight in items)),
        items_per_batch=items_per_batch,
        batches_per_step=batches_per_step,
        largest=largest,
    )


def from_numbers(
    config: PMCCambrianConfig,
    *,
    samples: int,
    tokens: int,
    images: int,
    longest: int,
    packed_images: int | None,
    items_per_batch: int,
    batches_per_step: int,
) -> EpochPlan:
    """An epoch of equal samples, one a row, or packed into rows that they fill.

    Packed samples are taken to share no images.

    Args:
        config: Sizes; images are taken to be square.
        samples: How many.
        tokens: Of a sample, images expanded.
        images: Of a sample.
        longest: Positions of the longest row a batch may hold.
        packed_images: Most images of a packed row; ``None`` for one sample a row.
        items_per_batch: Samples or rows of a process's batch.
        batches_per_step: Of one process.

    Raises:
        InputError: The images leave no room for text, or are more than a packed row may have.
    """
    text = tokens - images * square_tokens(config)
    if text <= 0:
        raise InputError(
            f"--images-per-sample {images}: square images of {square_tokens(config)} tokens take "
            f"{tokens - text}, but a sample has {tokens}; fewer images, or more tokens "
            "(--tokens-per-sample; without it max_length)"
        )
    rows, row_images = samples, images
    if packed_images is not None:
        if images > packed_images:
            raise InputError(
                f"--images-per-sample {images}: a packed row may have {packed_images} "
                "(data.init_args.packing.images); give fewer, or raise that"
            )
        rows = math.ceil(max(samples * tokens / longest, samples * images / packed_images))
        filled = math.ceil(longest * images / tokens)
        row_images = min(filled, images_that_fit(config, longest, packed_images))
    one = BatchWork(tokens, _triangle(tokens), text, images, tokens)
    return EpochPlan(
        work=BatchWork(*(samples * part for part in _counts(one))),
        items=rows,
        items_per_batch=items_per_batch,
        batches_per_step=batches_per_step,
        largest=BatchShape(
            positions=items_per_batch * longest,
            scored_tokens=items_per_batch * (longest - row_images * square_tokens(config)),
            images=items_per_batch * row_images,
        ),
    )


def square_tokens(config: PMCCambrianConfig) -> int:
    """Tokens of a square image, line ends counted."""
    return int(config.image_side * (config.image_side + 1))


def images_that_fit(config: PMCCambrianConfig, tokens: int, most: int) -> int:
    """Square images of a full row that leave room for text.

    Args:
        config: Sizes.
        tokens: Of the row.
        most: That it may have in any case.
    """
    return min(most, (tokens - 1) // square_tokens(config))


def _single(data: Any, examples: Sequence[Example]) -> Iterator[tuple[BatchWork, float]]:
    """Work and weight of every sample in a row of its own."""
    for example in examples:
        sizes = [(image.width, image.height) for image in example.images]
        positions = data.processor.check(example.example_id, example.turns, sizes).length
        text = positions - data.processor.expanded_length(len(sizes), sizes)
        tokens = text + _image_tokens(data, example)
        weight = data.source_weights.get(example.source, 1.0)
        yield BatchWork(tokens, _triangle(tokens), text, len(sizes), positions), weight


def _packed(data: Any) -> Iterator[tuple[BatchWork, float]]:
    """Work and weight of every planned row."""
    examples = data.examples("train")
    for row in data.samples.rows:
        total = BatchWork()
        for segment in row.segments:
            sizes = [data.samples.sizes[index] for index in segment]
            shared = sizes[0].shared_tokens if len(segment) > 1 else 0
            own = [size.tokens - shared for size in sizes]
            tokens = shared + sum(own)
            pairs = _triangle(shared) + sum(_triangle(n) + n * shared for n in own)
            copies = 1 if shared else len(segment)
            text = tokens - copies * _image_tokens(data, examples[segment[0]])
            total += BatchWork(tokens, pairs, text, copies * sizes[0].images, tokens)
        yield total, row.weight


def _image_tokens(data: Any, example: Example) -> int:
    side = data.processor.config.image_side
    return sum(kept_grid(i.width, i.height, side).num_tokens for i in example.images)


def _counts(work: BatchWork) -> tuple[int, ...]:
    return (work.tokens, work.pairs, work.scored_tokens, work.images, work.positions)


def _triangle(length: int) -> int:
    return length * (length + 1) // 2
