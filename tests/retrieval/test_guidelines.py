"""Reading and cutting the guidelines collection."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semihvision.core.errors import InputError, RefusalLog
from semihvision.retrieval.guidelines import (
    MAX_PASSAGE_CHARS,
    cut,
    demo_guidelines,
    read_guidelines,
)

WORDS = st.text(alphabet="abcdefgh.!? \n", max_size=400)


def write_lines(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@given(text=WORDS, limit=st.integers(1, 60))
def test_cutting_loses_and_moves_nothing_and_keeps_the_limit(text: str, limit: int) -> None:
    pieces = [section.text for section in cut(text, limit)]
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= limit for piece in pieces)


@given(text=WORDS)
def test_words_stay_whole_where_they_fit(text: str) -> None:
    longest = max((len(word) for word in text.split()), default=1)
    pieces = [section.text for section in cut(text, longest)]
    assert " ".join(pieces).split() == text.split()


def test_headings_nest_and_end() -> None:
    sections = cut("start\n# A\none\n### B\ntwo\n### C ##\nthree\n## D\nfour\n#no heading\n# E")
    assert [(section.headings, section.text) for section in sections] == [
        ((), "start"),
        (("A",), "one"),
        (("A", "B"), "two"),
        (("A", "C"), "three"),
        (("A", "D"), "four\n#no heading"),
    ]


def test_meditron_rows_with_and_without_id(tmp_path: Path) -> None:
    row = {
        "source": "nice",
        "title": "Stones",
        "clean_text": "# Stones\nDrink.\n### Later\nCome back.",
        "raw_text": "ignored",
        "url": "https://example.org/stones",
        "overview": None,
    }
    path = write_lines(tmp_path / "g.jsonl", [row, {**row, "id": 17, "url": None}])
    refused = RefusalLog()
    passages = list(read_guidelines(path, refused))
    assert not refused.items
    assert [passage.title for passage in passages[:2]] == ["Stones", "Stones > Later"]
    assert {passage.source for passage in passages} == {"nice"}
    assert passages[0].url == "https://example.org/stones"
    assert passages[2].ref == "nice/17#1"
    assert passages[2].url == ""
    assert passages[0].document != passages[2].document
    assert passages[0].ref == passages[0].document + "#1"


def test_broken_lines_are_refused_and_counted(tmp_path: Path) -> None:
    good = {"source": "who", "title": "T", "clean_text": "Wash your hands."}
    path = tmp_path / "g.jsonl"
    lines = [
        json.dumps(good),
        "{broken",
        "[1, 2]",
        json.dumps({**good, "source": ""}),
        json.dumps({**good, "clean_text": None}),
        json.dumps({**good, "title": ["T"]}),
        json.dumps({**good, "clean_text": "# only\n## headings"}),
        json.dumps(good),
        "",
    ]
    path.write_bytes("\n".join(lines).encode() + b'\n{"source": "\xff"}\n')
    refused = RefusalLog()
    passages = list(read_guidelines(path, refused))
    assert [passage.text for passage in passages] == ["Wash your hands."]
    assert refused.counts() == {"broken_guideline": 7, "repeated_guideline": 1}
    assert [item.item for item in refused.items] == [f"line {n}" for n in (2, 3, 4, 5, 6, 7, 8, 10)]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl"):
        list(read_guidelines(tmp_path / "absent.jsonl", RefusalLog()))


def test_demo_guidelines_are_marked_and_intact() -> None:
    refused = RefusalLog()
    passages = list(read_guidelines(demo_guidelines(), refused))
    assert not refused.items
    assert {passage.source for passage in passages} == {"semihvision-demo"}
    assert len({passage.document for passage in passages}) >= 10
    assert all(len(passage.text) <= MAX_PASSAGE_CHARS for passage in passages)
    for line in demo_guidelines().read_text(encoding="utf-8").splitlines():
        assert "not medical advice" in json.loads(line)["overview"]
