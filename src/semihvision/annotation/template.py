"""The offline producer: sentences filled with what the record itself states.

Deterministic, needs no model and looks at no pixel. Nothing of a retrieved neighbour enters it.
Everything it makes is labelled ``template``; it stands in for a language model, it is none.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from semihvision.annotation.draft import Draft, DraftQA, Task
from semihvision.annotation.facts import Facts, RegionFact, facts, size_words
from semihvision.annotation.paths import human_texts
from semihvision.annotation.settings import AnnotationPath, AnnotationSettings
from semihvision.core.hashing import hash_value
from semihvision.core.record import Text

VERSION = "template-v1"

_CAPTION_ORDER = ("caption", "findings", "report", "impression", "diagnosis", "discussion")
"""The first kind that a record has becomes its caption."""

_QUESTIONS = {
    "findings": "What are the imaging findings?",
    "report": "What does the report say?",
    "impression": "What is the impression?",
    "diagnosis": "What is the diagnosis?",
    "discussion": "Discuss this case.",
    "caption": "What does the image show?",
}
"""Question that a human text answers as it stands."""


class TemplateProducer:
    """Captions and questions from a record's own regions, labels and texts.

    Args:
        settings: Which human texts describe images.
    """

    kind: Literal["template", "model"] = "template"
    model = VERSION
    needs_pixels = False
    needs_context = False

    def __init__(self, settings: AnnotationSettings | None = None) -> None:
        self._settings = settings or AnnotationSettings()

    def prompt_hash(self, path: AnnotationPath, source: str) -> str:
        """Hash of the version and the fixed questions; the sentences change with the version."""
        return hash_value([VERSION, path, _QUESTIONS])

    def options(self) -> str:
        """Nothing beyond the human text kinds changes the output."""
        return ",".join(self._settings.human_text_kinds)

    def may_use(self, source: str, own: Sequence[str] = ()) -> bool:
        """Nothing leaves this process."""
        return True

    def produce(self, tasks: Iterable[Task], on_draft: Callable[[Draft], None]) -> None:
        """Fills the templates for each task."""
        for task in tasks:
            on_draft(self._draft(task))

    def _draft(self, task: Task) -> Draft:
        known = facts(task.record)
        shown = tuple(image.image_id for image in task.images)
        texts = human_texts(task.record, self._settings) if task.path == "rewrite" else []
        caption = _from_texts(known, texts) if texts else _Caption(_described(known), "en", ())
        questions = _text_questions(texts, shown) + _fact_questions(known, shown)
        if not texts and known.silent:
            questions.append(
                DraftQA(
                    question="Is a finding stated for this image?",
                    answer="no",
                    answer_type="CLOSED",
                    image_ids=shown,
                )
            )
        return Draft(
            key=task.key,
            record_id=task.record.record_id,
            path=task.path,
            producer="template",
            model=VERSION,
            prompt_hash=self.prompt_hash(task.path, task.record.source),
            caption=caption.text,
            caption_image_ids=tuple(i for i in caption.image_ids if i in shown) or shown,
            language=caption.language,
            qa=tuple(questions),
            image_ids=shown,
            context=task.context,
            withheld=task.withheld,
        )


class _Caption(NamedTuple):
    text: str
    language: str
    image_ids: tuple[str, ...]


def _from_texts(known: Facts, texts: list[Text]) -> _Caption:
    """The best human text as one line: about the whole record before about one image."""
    best = min(texts, key=lambda text: (bool(text.image_ids), _rank(text.kind)))
    lead = _lead(known) if best.language == "en" else ""
    return _Caption(f"{lead} {_one_line(best.text)}".strip(), best.language, best.image_ids)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _rank(kind: str) -> int:
    return _CAPTION_ORDER.index(kind) if kind in _CAPTION_ORDER else len(_CAPTION_ORDER)


def _described(known: Facts) -> str:
    """Everything the facts state, in sentences; says so where no finding is stated."""
    sentences = [_lead(known) or "Medical image."]
    if known.regions:
        sentences.append(_count_sentence(known.regions))
    if known.sites:
        sentences.append(f"Site of the lesion: {', '.join(known.sites)}.")
    if known.findings:
        sentences.append(f"Stated finding: {', '.join(known.findings)}.")
    if known.sides:
        sentences.append(f"Side: {' and '.join(known.sides)}.")
    sizes = [size_words(region.size_mm) for region in known.regions if region.size_mm]
    if sizes:
        sentences.append(f"Size of what is marked: {'; '.join(sizes)}.")
    sentences += [f"{name.capitalize()}: {value}." for name, value in known.others]
    if known.absent:
        sentences.append(f"Stated as absent: {', '.join(known.absent)}.")
    if known.uncertain:
        sentences.append(f"Stated as uncertain: {', '.join(known.uncertain)}.")
    if known.silent:
        sentences.append("No finding is stated.")
    return " ".join(sentences)


def _lead(known: Facts) -> str:
    place = known.organ or known.body_part
    if known.modality and place:
        return f"{known.modality} of the {place}."
    if known.modality:
        return f"{known.modality} image."
    return f"Image of the {place}." if place else ""


def _count_sentence(regions: tuple[RegionFact, ...]) -> str:
    count = len(regions)
    images = len({region.image_number for region in regions})
    where = f" on {images} images" if images > 1 else ""
    return f"{count} marked region{'s' if count > 1 else ''}{where}."


def _text_questions(texts: list[Text], shown: tuple[str, ...]) -> list[DraftQA]:
    """One question for each kind of text and set of images; several texts are one answer."""
    answers: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for text in texts:
        about = tuple(i for i in text.image_ids if i in shown) or shown
        answers.setdefault((_QUESTIONS.get(text.kind, ""), about), []).append(_one_line(text.text))
    return [
        DraftQA(question=question, answer=" ".join(parts), image_ids=about)
        for (question, about), parts in answers.items()
        if question
    ]


def _fact_questions(known: Facts, shown: tuple[str, ...]) -> list[DraftQA]:
    asked: list[tuple[str, str, str]] = []
    if known.modality:
        asked.append(("Which imaging modality is this?", known.modality, "OPEN"))
    if known.organ:
        asked.append(("Which organ is shown?", known.organ, "OPEN"))
    elif known.body_part:
        asked.append(("Which part of the body is shown?", known.body_part, "OPEN"))
    if known.sites:
        asked.append(("Where is the lesion?", ", ".join(known.sites), "OPEN"))
    if known.findings:
        asked.append(("Which finding is stated?", ", ".join(known.findings), "OPEN"))
    if known.regions:
        asked.append(("How many regions are marked?", str(len(known.regions)), "OPEN"))
    if len(known.sides) == 1:
        asked.append(("On which side is the finding?", known.sides[0], "OPEN"))
    if len(known.regions) == 1 and known.regions[0].size_mm:
        size = size_words(known.regions[0].size_mm)
        asked.append(("How large is the marked region?", size, "OPEN"))
    asked += [(f"Which {name} is stated?", value, "OPEN") for name, value in known.others]
    asked += [(f"Is {name} stated as absent?", "yes", "CLOSED") for name in known.absent]
    return [
        DraftQA(question=question, answer=answer, answer_type=answer_type, image_ids=shown)
        for question, answer, answer_type in asked
    ]
