"""What a sample is on its way from a Record to the model: the seam between data and model.

Data modules make an `Example`; a `Processor` (implemented in `models.processing`) turns it into an
`EncodedSample` and several of those into a `Batch`. Nobody else decides what the model sees.

Legend: B batch, L sequence length before image expansion, N images in the batch, T towers,
R_t input side of tower t in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:  # a model folder for others holds this module and needs no pydantic
    from PIL.Image import Image
    from torch import Tensor

    from semihvision.core.record import ImageRef

IGNORE_INDEX = -100
"""Label of a token that is not trained (PyTorch's and LLaVA's value)."""

IMAGE_TOKEN_ID = -200
"""Placeholder id of one image in `input_ids` (LLaVA's and Cambrian's value)."""

IMAGE_PLACEHOLDER = "<image>"
"""Placeholder of one image in text; each occurrence stands for one image, in order."""


class Turn(NamedTuple):
    """One turn of a conversation in LLaVA's roles."""

    role: Literal["system", "human", "gpt"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training or evaluation sample before tokenisation.

    Attributes:
        example_id: ``<record_id>#<part id>``; predictions and scores join by it.
        source: Source of the record, which decides the root its images are read below.
        split: ``train``, ``validation`` or ``test``.
        turns: Alternating human and gpt turns, optionally a system turn first.
        images: One image per ``<image>`` placeholder, in order.
        modality: That of the record; empty where it states none.
        derived_from: Every source whose terms bind it, its own included.
    """

    example_id: str
    source: str
    split: str
    turns: tuple[Turn, ...]
    images: "tuple[ImageRef, ...]"
    modality: str
    derived_from: tuple[str, ...]


class TowerPixels(NamedTuple):
    """One image, prepared for every tower.

    Attributes:
        pixels: T tensors (3, R_t, R_t), float32, normalised.
        size_wh: Width and height of the original image in pixels, before padding.
    """

    pixels: "tuple[Tensor, ...]"
    size_wh: tuple[int, int]


class EncodedSample(TypedDict):
    """One sample as the model reads it."""

    example_id: str
    input_ids: "Tensor"
    """(L,) int64, one `IMAGE_TOKEN_ID` per image."""
    labels: "Tensor"
    """(L,) int64, `IGNORE_INDEX` where not trained."""
    images: list[TowerPixels]


Segment = Sequence[EncodedSample]
"""Samples packed together: one alone, or several that share their images (`Processor.pack`)."""


class SampleFit(NamedTuple):
    """How a sample fits the longest allowed sequence."""

    length: int
    """Tokens with its images expanded, after shortening."""
    shortened: bool
    """Whether turns or the end of an answer were left out."""
    shared_length: int = 0
    """Tokens through its last image, expanded; 0 where it cannot share them with other samples."""
    shared_hash: str = ""
    """Equal for samples with the same token ids through the last image."""


class Batch(TypedDict):
    """Samples in rows, padded on the right. Images follow the placeholders in row-major order.

    Without `segment_ids` every row is one sample.
    """

    example_ids: list[str]
    input_ids: "Tensor"
    """(B, L) int64."""
    attention_mask: "Tensor"
    """(B, L) bool, False on padding."""
    labels: NotRequired["Tensor"]
    """(B, L) int64; absent when generating."""
    pixel_values: "list[Tensor]"
    """T tensors (N, 3, R_t, R_t); empty list when the batch holds no image."""
    image_sizes_wh: "Tensor"
    """(N, 2) int64, original width and height in pixels."""
    segment_ids: NotRequired["Tensor"]
    """(B, L) int64, number of the packed segment in its row; -1 on padding."""
    branch_ids: NotRequired["Tensor"]
    """(B, L) int64, 0 on what all samples of a segment share, else number of the sample in it."""
    image_layout: NotRequired[Literal["unpadded", "fixed"]]
    """How images are expanded; absent for ``unpadded``."""
    row_length: NotRequired[int]
    """Tokens of every row once its images are expanded; absent for those of the longest."""


class Processor(Protocol):
    """Decides what a sample looks like to the model."""

    def prepare_image(self, image: "Image") -> TowerPixels:
        """Pads, resizes and normalises one image for every tower."""
        ...

    def encode(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises a conversation; labels cover assistant turns and their ``<|eot_id|>`` only."""
        ...

    def encode_prompt(
        self, example_id: str, turns: Sequence[Turn], images: Sequence[TowerPixels]
    ) -> EncodedSample:
        """Tokenises the turns up to and including the last human one, plus the assistant header."""
        ...

    def check(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> SampleFit:
        """Says how `encode` would take a sample, and raises what it would, from image sizes."""
        ...

    def check_prompt(
        self, example_id: str, turns: Sequence[Turn], sizes_wh: Sequence[tuple[int, int]]
    ) -> None:
        """Raises what `encode_prompt` would, from image sizes."""
        ...

    def expanded_length(self, num_tokens: int, sizes_wh: Sequence[tuple[int, int]]) -> int:
        """Length of a sample of so many tokens once its images are expanded."""
        ...

    def collate(self, samples: Sequence[EncodedSample]) -> Batch:
        """Pads samples on the right to one batch."""
        ...

    def pack(self, rows: Sequence[Sequence[Segment]], row_length: int | None = None) -> Batch:
        """Packs several samples into each row."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens removed, outer blanks stripped."""
        ...
