"""Image controls: the same questions with blank or exchanged images.

A model that answers as well with them does not look at the image.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from PIL import Image

from evaluation.questions import Picture, Question

GREY = 127
"""Value of every channel of a blank image: after normalisation it is close to 0 in all towers."""


def normal(questions: Sequence[Question], seed: int) -> list[Question]:
    """The questions as they are."""
    return list(questions)


def blank(questions: Sequence[Question], seed: int) -> list[Question]:
    """Every image replaced by a mid-grey one of the same size."""
    return _with_pictures(questions, _blank_picture)


def shuffled(questions: Sequence[Question], seed: int) -> list[Question]:
    """Every image replaced by another image of the same questions.

    All questions about one image get the same other image, each image stands in for exactly one
    other, and none for itself; only where all questions share one image it stays.

    Args:
        questions: Any questions; those without image stay as they are.
        seed: Decides the exchange, together with the set of images and nothing else.
    """
    pictures = {picture.key: picture for question in questions for picture in question.pictures}
    stand_in = derangement(pictures, seed)
    return _with_pictures(questions, lambda picture: pictures[stand_in[picture.key]])


CONTROLS: Mapping[str, Callable[[Sequence[Question], int], list[Question]]] = {
    "normal": normal,
    "blank": blank,
    "shuffled": shuffled,
}
"""Name of a control -> function of questions and seed."""


def derangement(keys: Iterable[str], seed: int) -> dict[str, str]:
    """A random cycle through all keys: key -> another key, no two to the same one.

    A single key is its own successor. The order in which the keys come does not matter.
    """
    order = sorted(set(keys))
    Random(seed).shuffle(order)
    return dict(zip(order, order[1:] + order[:1], strict=True))


def _with_pictures(
    questions: Sequence[Question], change: Callable[[Picture], Picture]
) -> list[Question]:
    return [
        replace(question, pictures=tuple(map(change, question.pictures))) for question in questions
    ]


def _blank_picture(picture: Picture) -> Picture:
    width, height = picture.size_wh
    return Picture(
        key=f"blank {width}x{height}",
        size_wh=picture.size_wh,
        read=partial(Image.new, "RGB", picture.size_wh, (GREY, GREY, GREY)),
    )
