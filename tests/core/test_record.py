import re

import pytest
from hand_written_records import deeplesion_slice, image, twice_edited, vqa_rad_image
from pydantic import ValidationError

from semihvision.core.record import QA, Record, Region, Text, invalid_reason, question_text


def test_current_leaves_out_what_was_superseded_or_rejected() -> None:
    record = twice_edited()

    assert [text.text_id for text in record.current(record.texts)] == ["caption v2"]
    assert [question.qa_id for question in record.current(record.qa)] == ["q2"]
    assert len(record.texts) == 3
    assert len(record.qa) == 2


def test_a_later_decision_takes_back_a_rejection() -> None:
    record = twice_edited()
    again = record.provenance[3].model_copy(update={"provenance_id": "p5", "decision": "accepted"})

    changed = record.edited(provenance=(*record.provenance, again))

    assert [question.qa_id for question in changed.current(changed.qa)] == ["q1", "q2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"record_id": "other/1"}, "record_id: expected '<source>/<owner id>'"),
        ({"modality": "MRI"}, "modality: expected empty or one of xray"),
        ({"body_part": "brain"}, "body_part: expected empty or one of head_neck"),
        ({"images": (image("image", "a.png"), image("image", "b.png"))}, "repeated image_id"),
        ({"images": ()}, "image_id image is not in the record"),
        ({"provenance": ()}, "provenance_id owner is not in the record"),
    ],
)
def test_a_record_that_contradicts_itself_is_no_record(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        vqa_rad_image().edited(**changes)


def test_part_ids_are_unique_over_kinds() -> None:
    text = Text(text_id="1", kind="caption", text="x", provenance_id="owner")

    with pytest.raises(ValidationError, match="repeated part id: 1"):
        vqa_rad_image().edited(texts=(text,))


def test_placeholders_and_images_of_a_conversation_agree() -> None:
    record = twice_edited()
    talk = record.conversations[0].model_copy(update={"image_ids": ()})

    with pytest.raises(ValidationError, match="1 <image> placeholders for 0 images"):
        record.edited(conversations=(talk,))


@pytest.mark.parametrize(
    "extent",
    [
        {},
        {"box_xyxy": (5, 5, 5, 9)},
        {"box_xyxy": (5, 9, 8, 5)},
        {"box_xyxy": (1, 1, 2, 2), "slices": (4, 3)},
    ],
)
def test_a_region_needs_an_extent(extent: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Region.model_validate({"region_id": "r", "image_id": "i", **extent})


def test_reasons_name_fields_but_never_content() -> None:
    secret = "Jane Doe"
    fields = deeplesion_slice().model_dump() | {"split": {"name": secret}, "modality": 7}

    with pytest.raises(ValidationError) as caught:
        Record.model_validate(fields)

    reason = invalid_reason(caught.value)
    assert "split" in reason
    assert "modality" in reason
    assert secret not in reason


def test_a_question_is_asked_with_its_options() -> None:
    plain = QA(qa_id="1", question="Which?", answer="x", provenance_id="p")
    choice = plain.model_copy(update={"options": ("Heart", "Lung")})

    assert question_text(plain) == "Which?"
    assert question_text(choice) == "Which?\nA. Heart\nB. Lung"
