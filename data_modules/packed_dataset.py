"""Packed rows as a data set: planned rows in, encoded segments out, one image read per segment."""

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from data_modules.example_dataset import ExampleDataset
from data_modules.packing import Row
from semihvision.core.batch import IGNORE_INDEX, Segment


class PackedDataset(Dataset[list[Segment]]):
    """Encodes whole rows.

    Args:
        samples: Encodes single examples.
        rows: The plan; numbers in it are those of examples.
    """

    def __init__(self, samples: ExampleDataset, rows: Sequence[Row]) -> None:
        self.samples = samples
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> list[Segment]:
        """The segments of a row; a negative index asks for a row of which nothing is trained."""
        if index >= 0:
            return [self._segment(samples) for samples in self.rows[index].segments]
        segments = self[-1 - index]
        for segment in segments:
            for sample in segment:
                sample["labels"] = torch.full_like(sample["labels"], IGNORE_INDEX)
        return segments

    def _segment(self, indices: Sequence[int]) -> Segment:
        first = self.samples[indices[0]]
        # Images are prepared once; the other samples are encoded with the same ones.
        return [first, *(self.samples.encode(index, first["images"]) for index in indices[1:])]
