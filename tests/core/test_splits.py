import pytest
from hand_written_records import vqa_rad_image

from semihvision.core.record import Record
from semihvision.core.splits import is_test, strictest_split


def in_splits(record: str, *questions: str) -> Record:
    one = vqa_rad_image()
    asked = tuple(
        one.qa[0].model_copy(update={"qa_id": f"q{i}", "split": split})
        for i, split in enumerate(questions)
    )
    return one.edited(split=record, qa=asked, conversations=())


@pytest.mark.parametrize(
    ("record", "questions", "expected"),
    [
        ("", (), ""),
        ("train", (), "train"),
        ("", ("train", "train"), ""),
        ("train", ("train", "test"), "test"),
        ("", ("train", "Test"), "test"),
        ("TEST", ("train",), "test"),
        ("", ("train", "validate"), "validate"),
        ("train", ("", "dev"), "dev"),
    ],
)
def test_one_question_decides_for_everything_made_from_the_record(
    record: str, questions: tuple[str, ...], expected: str
) -> None:
    assert strictest_split(in_splits(record, *questions)) == expected


def test_spelling_does_not_hide_the_test_split() -> None:
    assert all(is_test(name) for name in ("test", "Test", " TEST "))
    assert not any(is_test(name) for name in ("", "train", "testing"))
