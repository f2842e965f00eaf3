"""The parts of a Record: images, regions, labels, texts, questions, conversations."""

from string import ascii_uppercase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MODALITIES = (
    "xray", "dsa", "ct", "mr", "pet_spect", "ultrasound", "pathology", "camera",
    "gross_pathology", "dermatology", "oct", "electron_microscopy", "electrophoresis",
    "endoscopy", "simulated_illustration", "radioisotope", "optical_image", "mitotic", "other",
)  # fmt: skip
"""Closed list of modalities: the 19 classes of the authors' triage script (paper.md 1.4)."""

BODY_PARTS = ("head_neck", "thorax", "abdomen", "extremity", "upper", "lower", "other")
"""Closed list of body parts: the 7 classes of the authors' triage script (paper.md 1.4)."""

TEXT_KINDS = (
    "title", "caption", "report", "findings", "impression", "history", "discussion", "diagnosis",
    "guideline", "context",
)  # fmt: skip
"""Closed list of text kinds. `context` is text about the image from its article or video."""

Id = Annotated[str, Field(min_length=1)]
Box = tuple[float, float, float, float]


class Part(BaseModel):
    """What all parts have in common: they do not change, and know all of their fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Attribute(Part):
    """A named value that has no field of its own: a further column, a fact about the reading."""

    name: Id
    value: str


class ImageRef(Part):
    """One image of the record: a file, or one slice or frame of a file.

    Attributes:
        image_id: Unique in the record.
        path: POSIX path relative to the source's root folder.
        format: Reader name in `semihvision.core.images`, e.g. ``png``, ``jpeg``, ``nifti``.
        sha256: Hex digest of the file's bytes (of a ``cell``: of the image file in it); empty if
            not hashed.
        width: Columns in pixels.
        height: Rows in pixels.
        depth: Number of slices or frames when the whole volume is meant, else 1.
        axis: Axis the slices are counted along (``axial``, ``frame``, ...); the column of an image
            in a table's ``cell``; empty for 2-D files.
        index: Slice or frame number on `axis`, from 0; the row of a ``cell`` (see
            `semihvision.core.imaging.cells`); None for a 2-D file or a whole volume.
        rescale_slope: Stored value times this ...
        rescale_intercept: ... plus this is the physical value (HU for CT) that windows refer to.
        window_center: Centre of the display window in physical units; None if none is given.
        window_width: Its width, > 0.
        view: View, phase or sequence in the owner's words, e.g. ``PA``, ``C+A``.
        spacing_mm: Pixel spacing (x, y) or voxel spacing (x, y, z) in millimetres; may be empty.
        orientation: Axis code of the stored array, e.g. ``LPS``; empty if unknown.
        reading: What the reader of a DICOM or NIfTI file found and did: photometric
            interpretation, where the window is from, inversion, replaced values, ...
    """

    image_id: Id
    path: Id
    format: Id
    sha256: str = ""
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    depth: int = Field(default=1, gt=0)
    axis: str = ""
    index: int | None = Field(default=None, ge=0)
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    window_center: float | None = None
    window_width: float | None = Field(default=None, gt=0)
    view: str = ""
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""
    reading: tuple[Attribute, ...] = ()


class Region(Part):
    """A marked region: a box in pixels of its image, a mask file, or both.

    Attributes:
        box_xyxy: Left, top, right, bottom in pixels of the image; x1 > x0 and y1 > y0.
        slices: First and last slice (inclusive, from 0) the region spans in a volume.
        mask_path: Mask file relative to the source's root; empty if none.
        lines_xyxy: Measured lines, each from point to point in pixels, the longest first (the two
            RECIST diameters in DeepLesion).
        label: What is marked, in the owner's words.
        drawn_by: ``expert``, ``owner``, ``model`` ... as documented by the owner.
    """

    region_id: Id
    image_id: Id
    box_xyxy: Box | None = None
    slices: tuple[int, int] | None = None
    mask_path: str = ""
    lines_xyxy: tuple[Box, ...] = ()
    label: str = ""
    drawn_by: str = ""

    @model_validator(mode="after")
    def _check_extent(self) -> "Region":
        if self.box_xyxy is None and not self.mask_path:
            raise ValueError("a region needs a box or a mask path")
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy
            if not (x1 > x0 and y1 > y0):
                raise ValueError("box: expected x1 > x0 and y1 > y0")
        if self.slices is not None and self.slices[0] > self.slices[1]:
            raise ValueError("slices: expected first <= last")
        return self


class Label(Part):
    """A structured statement of the owner: finding, class, sex, age band, laterality, ..."""

    label_id: Id
    name: Id
    value: str
    system: Id
    image_ids: tuple[str, ...] = ()
    region_ids: tuple[str, ...] = ()


class Text(Part):
    """A text of a person or a producer about some images (none: about the whole record)."""

    text_id: Id
    kind: Id
    text: Id
    language: str = "en"
    image_ids: tuple[str, ...] = ()
    provenance_id: Id
    supersedes: str = ""

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value not in TEXT_KINDS:
            raise ValueError(f"text kind: expected one of {', '.join(TEXT_KINDS)}")
        return value


class QA(Part):
    """A question with its answer; `split` where the owner splits by question.

    `answer` is empty where the owner left it empty (one question of SLAKE); such a question counts,
    but is neither trained on nor asked.
    """

    qa_id: Id
    question: Id
    answer: str
    options: tuple[str, ...] = Field(default=(), max_length=26)
    answer_type: str = ""
    question_type: str = ""
    attributes: tuple[Attribute, ...] = ()
    image_ids: tuple[str, ...] = ()
    split: str = ""
    provenance_id: Id
    supersedes: str = ""


class ConversationTurn(Part):
    """One turn in LLaVA's roles; `<image>` stands for the next image of the conversation."""

    role: Literal["system", "human", "gpt"]
    text: str


class Conversation(Part):
    """Turns in LLaVA order, made from the record's other parts or by a producer."""

    conversation_id: Id
    turns: tuple[ConversationTurn, ...] = Field(min_length=2)
    image_ids: tuple[str, ...] = ()
    split: str = ""
    provenance_id: Id
    supersedes: str = ""


def part_id(part: Text | QA | Conversation) -> str:
    """The id of a text, question or conversation."""
    if isinstance(part, Text):
        return part.text_id
    return part.qa_id if isinstance(part, QA) else part.conversation_id


def question_text(question: QA) -> str:
    """The question as it is asked: with its options, one a line, where it has any."""
    lettered = (
        f"{letter}. {option}"
        for letter, option in zip(ascii_uppercase, question.options, strict=False)
    )
    return "\n".join([question.question, *lettered])
