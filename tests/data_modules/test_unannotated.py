"""When a data module says that records are to be annotated first."""

from collections import Counter
from pathlib import Path

import pytest

from data_modules.samples import Samples
from data_modules.unannotated import check_annotated, commands
from semihvision.core.batch import Example, Turn
from semihvision.core.errors import InputError

ROOTS = {"deeplesion": Path("data/deeplesion"), "folder": Path("data/folder")}
OTHERS = Example(
    example_id="folder/1#q",
    source="folder",
    split="train",
    turns=(Turn("human", "?"), Turn("gpt", "!")),
    images=(),
    modality="",
    derived_from=("folder",),
)


def samples(lacking: int, *, of: int, others: bool) -> Samples:
    """Records of DeepLesion, some without a text, and perhaps a sample of another source."""
    made = Samples(
        records=Counter({"deeplesion": of, "folder": 1}),
        unannotated=Counter({"deeplesion": lacking}),
    )
    if others:
        made.splits["train"].append(OTHERS)
    return made


def test_a_source_without_a_text_is_said_where_others_are_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_annotated(samples(2, of=2, others=True), ROOTS, [])

    assert "2 of 2 records have no text" in caplog.text


@pytest.mark.parametrize("others", [True, False])
def test_a_source_with_some_texts_is_not_sent_to_annotation(
    others: bool, caplog: pytest.LogCaptureFixture
) -> None:
    check_annotated(samples(1, of=2, others=others), ROOTS, [])

    assert caplog.text == ""


def test_without_any_sample_the_commands_are_named() -> None:
    made = samples(2, of=2, others=False)

    with pytest.raises(InputError) as caught:
        check_annotated(made, ROOTS, [Path("x.parquet")])

    typed = commands(made, "deeplesion", ROOTS["deeplesion"], [Path("x.parquet")])
    assert [line in str(caught.value) for line in typed] == [True, True]
    assert "annotate run" in typed[0]
