"""Records of benchmarks: what is asked, kept apart from what a model may be trained on."""

from collections.abc import Sequence

from data_modules.reading import OWNER, licence_of
from evaluation.options import LETTERS
from evaluation.references import Reference
from semihvision.core.card import Card
from semihvision.core.record import QA, Attribute, ImageRef, Record


def benchmark_record(
    card: Card, name: str, *, group: str, images: Sequence[ImageRef], qa: Sequence[QA]
) -> Record:
    """A record that is for testing, whatever the owner calls its split.

    Args:
        card: Of the benchmark.
        name: The owner's id.
        group: Image, pair or question: what belongs together in statistics.
        images: Its images.
        qa: Its questions; see `qa_of`.
    """
    return Record(
        record_id=f"{card.name}/{name}",
        source=card.name,
        split="test",
        group_id=group,
        images=tuple(images),
        qa=tuple(qa),
        provenance=(OWNER,),
        licence=licence_of(card),
    )


def qa_of(reference: Reference, image_ids: Sequence[str]) -> QA:
    """A question with the text of its right option, or its gold answer where it has no options.

    Args:
        reference: The question and its gold answer.
        image_ids: Its images, in the order in which they are shown.
    """
    answer = reference.answer
    if reference.letter:
        answer = reference.options[LETTERS.index(reference.letter)]
    return QA(
        qa_id=reference.id,
        question=reference.question,
        answer=answer,
        options=reference.options,
        answer_type=reference.answer_type,
        question_type=reference.question_type,
        attributes=tuple(Attribute(name="also right", value=one) for one in reference.alternatives),
        image_ids=tuple(image_ids),
        split="test",
        provenance_id=OWNER.provenance_id,
    )
