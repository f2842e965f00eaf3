"""What a batch asks of the decoder: real tokens, pairs that attend to each other, scored positions.

Padding, cells of the fixed image layout that are not attended, and pairs that a mask forbids are
work that nobody asked for: they count in `BatchWork.positions` only.
"""

from collections import defaultdict
from dataclasses import astuple, dataclass

from semihvision.core.batch import Batch

from .configuration import PMCCambrianConfig
from .losses import count_trained_tokens
from .padding import kept_grid
from .segments import PREFIX


@dataclass(frozen=True)
class BatchWork:
    """Counts of one batch, or of several together.

    Attributes:
        tokens: Tokens that count, images expanded.
        pairs: Pairs (i, j) of them with i attending to j, i = j included.
        scored_tokens: Positions whose next token is trained.
        images: Images that pass the towers.
        positions: Positions the decoder computes, padding included.
    """

    tokens: int = 0
    pairs: int = 0
    scored_tokens: int = 0
    images: int = 0
    positions: int = 0

    def __add__(self, other: "BatchWork") -> "BatchWork":
        return BatchWork(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def batch_work(batch: Batch, config: PMCCambrianConfig) -> BatchWork:
    """Counts a batch, whether its rows are single samples, packed, or share images.

    Ids and sizes are read on the host, as fusing images into the text does anyway.

    Args:
        batch: On any device.
        config: The model that reads it. Attention is taken to be full, not sliding.
    """
    side = config.image_side
    sizes = batch["image_sizes_wh"].tolist()
    fixed = batch.get("image_layout") == "fixed"
    attended = iter([kept_grid(width, height, side).num_tokens for width, height in sizes])
    tokens = pairs = longest = 0
    for row in _rows(batch):
        groups: dict[tuple[int, int], int] = defaultdict(int)
        length = 0
        for token, *group in row:
            is_image = token == config.image_token_id
            counted = next(attended) if is_image else 1
            groups[group[0], group[1]] += counted
            length += side * (side + 1) if is_image and fixed else counted
        tokens += sum(groups.values())
        pairs += _pairs(groups)
        longest = max(longest, length)
    labels = batch.get("labels")
    scored = 0 if labels is None else int(count_trained_tokens(labels, config.ignore_index))
    rows = len(batch["input_ids"])
    positions = rows * batch.get("row_length", longest)
    return BatchWork(tokens, pairs, scored, len(sizes), positions)


def _rows(batch: Batch) -> list[list[tuple[int, ...]]]:
    """Token, segment and branch of every input token that is no padding, row by row."""
    ids = batch["input_ids"]
    zeros = ids.new_zeros(ids.shape)
    columns = [ids, batch.get("segment_ids", zeros), batch.get("branch_ids", zeros)]
    kept = batch["attention_mask"].tolist()
    read = [column.tolist() for column in columns]
    return [
        [values for values, keep in zip(zip(*row, strict=True), mask, strict=True) if keep]
        for row, mask in zip(zip(*read, strict=True), kept, strict=True)
    ]


def _pairs(lengths: dict[tuple[int, int], int]) -> int:
    """Pairs of one row from the lengths of its (segment, branch) groups."""
    total = 0
    for (segment, branch), length in lengths.items():
        total += _triangle(length)
        if branch != PREFIX:
            total += length * lengths.get((segment, PREFIX), 0)
    return total


def _triangle(length: int) -> int:
    return length * (length + 1) // 2
