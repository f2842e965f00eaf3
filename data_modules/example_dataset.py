"""Examples to encoded samples, one by one, as a map-style dataset."""

from pathlib import Path

import torch
from torch.utils.data import Dataset

from semihvision.core.batch import (
    IGNORE_INDEX,
    EncodedSample,
    Example,
    Processor,
    TowerPixels,
)
from semihvision.core.images import read_image
from semihvision.core.record import ImageRef

Prepared = dict[tuple[str, ImageRef], TowerPixels]
"""Images prepared for the towers, by source and everything that decides what is seen: the file, but
also slice, axis and window."""


class ExampleDataset(Dataset[EncodedSample]):
    """Encodes examples on access; an unreadable image is an error, never a stand-in sample.

    Args:
        examples: What to encode.
        roots: Root folder of every source that occurs.
        processor: Decides what a sample looks like to the model.
        prepared: Images already prepared for the towers, shared by the splits and filled on the
            way. None: prepare anew on every access.
        prompts_only: Stop before the last answer, for generation.
    """

    def __init__(
        self,
        examples: list[Example],
        *,
        roots: dict[str, Path],
        processor: Processor,
        prepared: Prepared | None = None,
        prompts_only: bool = False,
    ) -> None:
        self.examples = examples
        self._roots = roots
        self._processor = processor
        self._prepared = prepared
        self._prompts_only = prompts_only

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> EncodedSample:
        """An encoded sample; a negative index asks for one of which nothing is trained."""
        if index < 0:
            sample = self[-1 - index]
            sample["labels"] = torch.full_like(sample["labels"], IGNORE_INDEX)
            return sample
        example = self.examples[index]
        return self.encode(index, [self._image(example.source, image) for image in example.images])

    def encode(self, index: int, images: list[TowerPixels]) -> EncodedSample:
        """Encodes an example with images that are prepared already.

        Args:
            index: Number of the example.
            images: Its images, in order.
        """
        example = self.examples[index]
        encode = self._processor.encode_prompt if self._prompts_only else self._processor.encode
        return encode(example.example_id, example.turns, images)

    def _image(self, source: str, image: ImageRef) -> TowerPixels:
        key = (source, image)
        if self._prepared is not None and key in self._prepared:
            return self._prepared[key]
        pixels = self._processor.prepare_image(read_image(self._roots[source], image))
        if self._prepared is not None:
            self._prepared[key] = pixels
        return pixels
