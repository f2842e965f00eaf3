"""What a model is asked: a question with its pictures, free of the gold answer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL.Image import Image

from data_modules.examples import examples_of
from semihvision.core.batch import Example, Turn
from semihvision.core.hashing import hash_value
from semihvision.core.images import read_image
from semihvision.core.imaging.cells import CELL
from semihvision.core.record import ImageRef, Record


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image as it is shown to the model.

    Attributes:
        key: Same key, same pixels; answers and prepared images are kept by it.
        size_wh: Width and height in pixels.
        read: Reads the RGB image; raises `InputError` where it cannot be read.
    """

    key: str
    size_wh: tuple[int, int]
    read: Callable[[], Image]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        id: The benchmark's id; answers and references are joined by it.
        source: Name of the source.
        turns: Conversation up to and including the last human turn, one ``<image>`` per picture.
        pictures: In the order of the placeholders.
        derived_from: Every source whose terms bind it, as `semihvision.core.lineage` finds them.
    """

    id: str
    source: str
    turns: tuple[Turn, ...]
    pictures: tuple[Picture, ...]
    derived_from: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that the data-use policy is asked about, its own first."""
        return tuple(dict.fromkeys((self.source, *self.derived_from)))


def picture_of(image: ImageRef, root: Path) -> Picture:
    """The picture of a record's image, stored below `root`."""
    window = (image.axis, image.index, image.window_center, image.window_width)
    if image.format == CELL:  # its hash is that of the image, wherever it stands
        window = ("", None, None, None)
    return Picture(
        key=hash_value([image.sha256 or image.path, *window]),
        size_wh=(image.width, image.height),
        read=partial(read_image, root, image),
    )


def question_of(example: Example, root: Path, *, question_id: str = "") -> Question:
    """The question of an example, without its answer.

    Args:
        example: As data modules make it, so that a model is asked as it was trained.
        root: Folder of the example's source.
        question_id: The benchmark's id; by default the part of the example's id after ``#``.
    """
    turns = list(example.turns)
    while turns and turns[-1].role == "gpt":
        turns.pop()
    return Question(
        id=question_id or example.example_id.rpartition("#")[2],
        source=example.source,
        turns=tuple(turns),
        pictures=tuple(picture_of(image, root) for image in example.images),
        derived_from=example.derived_from,
    )


def questions_of_records(records: Iterable[Record], root: Path) -> list[Question]:
    """All test questions of records, in their order; the id is the question's own."""
    examples = examples_of(records, uses=["qa"])
    return [question_of(example, root) for example in examples if example.split == "test"]


def hash_questions(questions: Iterable[Question]) -> str:
    """SHA-256 over ids, words and pictures of the questions, in order."""
    return hash_value(
        [
            [question.id, question.turns, [picture.key for picture in question.pictures]]
            for question in questions
        ]
    )
