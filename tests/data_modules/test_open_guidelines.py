import json
from pathlib import Path
from typing import Any

import pytest

from data_modules import open_guidelines
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record
from semihvision.retrieval.guidelines import read_guidelines

ROW: dict[str, Any] = {
    "source": "who",
    "title": "Malaria",
    "clean_text": "# Malaria\n\nIntroduction.\n\n### Treatment\nTreat.",
    "raw_text": "Malaria",
    "url": "https://example.org/malaria",
    "overview": None,
}


def write(root: Path, *rows: Any) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "open_guidelines.jsonl").write_text(lines)
    return root


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(open_guidelines.read(root, refused)), refused


def test_a_document_becomes_a_record_with_the_passages_of_the_index(tmp_path: Path) -> None:
    (record,), refused = read(write(tmp_path, {**ROW, "id": "a1"}))

    assert refused.items == []
    assert record.record_id == "open_guidelines/who/a1"
    assert [(text.kind, text.text) for text in record.texts] == [
        ("guideline", "Malaria\n\nIntroduction."),
        ("guideline", "Malaria > Treatment\n\nTreat."),
    ]
    assert (record.licence.name, record.licence.url) == ("terms of who", ROW["url"])
    passages = read_guidelines(tmp_path / "open_guidelines.jsonl", RefusalLog())
    assert [text.text_id for text in record.texts] == [passage.ref for passage in passages]


def test_a_bad_document_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    records, refused = read(write(tmp_path, {**ROW, "source": 7}, ROW, ROW))

    assert len(records) == 1
    assert [(item.item, item.kind, item.file) for item in refused.items] == [
        ("line 1", "broken_guideline", "open_guidelines.jsonl"),
        ("line 3", "repeated_guideline", "open_guidelines.jsonl"),
    ]


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file open_guidelines\.jsonl"):
        read(tmp_path)


def test_the_twin_is_read_whole(tmp_path: Path) -> None:
    open_guidelines.write_twin(tmp_path, cases=12, seed=0)

    records, refused = read(tmp_path)

    assert refused.items == []
    assert len({record.record_id for record in records}) == 12
    assert {record.licence.name for record in records} > {"terms of who", "terms of nice"}
