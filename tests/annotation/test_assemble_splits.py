"""No image with a test question reaches training through what was generated about it."""

import pytest
from annotation_records import record

from data_modules.examples import examples_of
from semihvision.annotation.assemble import assemble
from semihvision.annotation.draft import Draft, Task
from semihvision.annotation.gates import evidence, unsupported_claims
from semihvision.annotation.paths import choose_path
from semihvision.annotation.prompts import render
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.template import TemplateProducer
from semihvision.core.record import QA, Record

SETTINGS = AnnotationSettings()
GOLD = "a nodule of 17 mm in the left lung"


def asked(*splits: str, split: str = "") -> Record:
    """An image with one question in each of these splits, as VQA-RAD ships it."""
    questions = tuple(
        QA(
            qa_id=f"q{i}",
            question=f"Question {i}?",
            answer=GOLD,
            image_ids=("i1",),
            split=name,
            provenance_id="owner",
        )
        for i, name in enumerate(splits)
    )
    return record("synpic1.jpg", "vqa_rad", split=split, qa=questions)


def task(one: Record) -> Task:
    path = choose_path(one, SETTINGS)
    assert path is not None
    return Task(key="k" * 20, record=one, path=path, images=one.images)


def annotated(one: Record) -> Record:
    made: list[Draft] = []
    TemplateProducer(SETTINGS).produce([task(one)], made.append)
    return assemble(one, made[0], SETTINGS).record


@pytest.mark.parametrize(
    ("questions", "of_record", "expected"),
    [
        (("test", "test"), "", "test"),
        (("train", "test"), "train", "test"),
        ((), "test", "test"),
        (("validation",), "", "validation"),
        (("train",), "", "train"),
    ],
)
def test_what_is_generated_has_the_strictest_split(
    questions: tuple[str, ...], of_record: str, expected: str
) -> None:
    before = asked(*questions, split=of_record)
    after = annotated(before)
    made = {part.qa_id for part in after.qa[len(before.qa) :]}
    made |= {part.conversation_id for part in after.conversations}
    assert len(made) > 1
    generated = [
        example
        for example in examples_of([after], uses=("qa", "conversations"))
        if example.example_id.partition("#")[2] in made
    ]
    assert len(generated) == len(made)
    assert {example.split for example in generated} == {expected}


@pytest.mark.parametrize("questions", [("test",), ("train", "test")])
def test_nothing_generated_about_a_tested_image_is_trained_on(questions: tuple[str, ...]) -> None:
    before = asked(*questions)
    examples = examples_of([annotated(before)], uses=("captions", "qa", "conversations"))
    own = {f"{before.record_id}#{qa.qa_id}" for qa in before.qa}
    generated = [example for example in examples if example.example_id not in own]
    assert len(generated) >= 3
    assert {example.split for example in generated} == {"test"}


def test_test_questions_are_neither_evidence_nor_material() -> None:
    claim = f"The image shows {GOLD}."
    assert unsupported_claims(claim, evidence(asked("train"), SETTINGS)) == []
    for hidden in (asked("test"), asked("Test"), asked("", split="test")):
        assert unsupported_claims(claim, evidence(hidden, SETTINGS)) == ["side", "size"]
        assert GOLD not in evidence(hidden, SETTINGS).text
        assert GOLD not in render(task(hidden), SETTINGS).user
