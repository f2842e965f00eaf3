import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import jama
from semihvision.core.counts import RecordCounts
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Record

CASE: dict[str, Any] = {
    "link": "https://example.org/journals/fullarticle/12345",
    "question": "A man has a rash. What is it?",
    "opa": "A. Sarcoidosis",
    "opb": "B. Psoriasis",
    "opc": "C. Lichen planus",
    "opd": "D. A large mass",
    "diagnosis": "Psoriasis",
    "answer_idx": "B",
    "answer": "B. Psoriasis",
    "explanation": "Silvery scales point to psoriasis.",
    "field": "dermatology",
}


def read(root: Path) -> tuple[list[Record], RefusalLog]:
    refused = RefusalLog()
    return list(jama.read(root, refused)), refused


def read_one(root: Path, **changes: Any) -> tuple[list[Record], RefusalLog]:
    (root / "jama.jsonl").write_text(json.dumps({**CASE, **changes}) + "\n")
    return read(root)


def test_a_case_of_the_known_scrape(tmp_path):
    records, refused = read_one(tmp_path)
    assert not refused.items
    record = records[0]
    assert record.record_id == "jama/12345"
    assert record.split == "test"
    question = record.qa[0]
    assert question.options == ("Sarcoidosis", "Psoriasis", "Lichen planus", "A large mass")
    assert question.answer == "Psoriasis"
    assert [(text.kind, text.text) for text in record.texts] == [
        ("discussion", CASE["explanation"]),
        ("diagnosis", "Psoriasis"),
    ]
    assert record.labels[0].value == "dermatology"
    assert record.images == ()


@pytest.mark.parametrize("form", ["jama_raw.csv", "jama_raw.json"])
def test_the_forms_of_the_scrape_read_alike(tmp_path, form):
    if form.endswith("csv"):
        with (tmp_path / form).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, CASE)
            writer.writeheader()
            writer.writerow({**CASE, "explanation": 'Two\nlines, "quoted"'})
    else:
        (tmp_path / form).write_text(
            json.dumps([{**CASE, "explanation": 'Two\nlines, "quoted"'}]), encoding="utf-8-sig"
        )
    records, refused = read(tmp_path)
    assert not refused.items
    assert records[0].texts[0].text == 'Two\nlines, "quoted"'
    assert records[0].qa[0].answer == "Psoriasis"


@pytest.mark.parametrize(
    ("answer_idx", "answer"),
    [
        ("B", "B. Psoriasis"),
        ("b", "psoriasis."),
        ("B", ""),
        ("B", "B"),
        (1, "Psoriasis"),
        (2, "Psoriasis"),
        ("2", "(B) Psoriasis"),
        (None, "Psoriasis"),
        ("", "B"),
    ],
)
def test_right_option_by_letter_position_and_text(tmp_path, answer_idx, answer):
    records, refused = read_one(tmp_path, answer_idx=answer_idx, answer=answer)
    assert not refused.items
    assert records[0].qa[0].answer == "Psoriasis"


@pytest.mark.parametrize(
    "changes",
    [
        {"answer_idx": "C"},  # contradicts the answer's text
        {"answer_idx": 0},  # position 0 is neither 0- nor 1-based B
        {"answer_idx": "E"},
        {"answer_idx": 7},
        {"answer_idx": 2, "answer": ""},  # counted from 0 or from 1?
        {"answer": "Eczema"},
        {"answer_idx": "", "answer": "C. Psoriasis"},
        {"answer_idx": None, "answer": ""},
        {"opc": ""},
        {"opc": "B. Psoriasis"},
        {"question": "  "},
        {"link": ""},
        {"images": "a.png"},
        {"images": ["missing.png"]},
        {"images": ["../outside.png"]},
    ],
)
def test_what_cannot_be_used_is_refused_without_its_text(tmp_path, changes):
    records, refused = read_one(tmp_path, **changes)
    assert records == []
    assert len(refused.items) == 1
    item = refused.items[0]
    assert item.file == "jama.jsonl"
    assert "rash" not in item.reason
    assert "Psoriasis" not in item.reason


def test_option_letters_come_off_only_when_every_option_has_one(tmp_path):
    options = {"opa": "A. baumannii", "opb": "E. coli", "opc": "S. aureus", "opd": "C. albicans"}
    records, _ = read_one(tmp_path, **options, answer_idx="A", answer="A. baumannii")
    assert records[0].qa[0].options[0] == "A. baumannii"
    assert records[0].qa[0].answer == "A. baumannii"


def test_a_broken_line_and_a_repeated_case_are_refused_and_the_rest_goes_on(tmp_path):
    lines = [json.dumps(CASE), "{broken", "[]", json.dumps(CASE), json.dumps({**CASE, "id": "x"})]
    (tmp_path / "jama.jsonl").write_text("\n".join(lines))
    records, refused = read(tmp_path)
    assert [record.record_id for record in records] == ["jama/12345", "jama/x"]
    assert [item.item for item in refused.items] == ["line 2", "line 3", "12345"]


def test_an_id_that_is_none_is_not_quoted(tmp_path):
    _, refused = read_one(tmp_path, id="A 40-year-old woman had a rash", opa="")
    assert [item.item for item in refused.items] == ["line 1"]


def test_images_are_probed(tmp_path):
    Image.new("L", (20, 10)).save(tmp_path / "a.png")
    records, refused = read_one(tmp_path, images=["a.png"])
    assert not refused.items
    image = records[0].images[0]
    assert (image.width, image.height) == (20, 10)
    assert records[0].qa[0].image_ids == (image.image_id,)


def test_none_or_several_case_files_are_an_error(tmp_path):
    with pytest.raises(InputError, match="found none"):
        read(tmp_path)
    (tmp_path / "jama.jsonl").write_text("")
    (tmp_path / "jama_raw.json").write_text("[]")
    with pytest.raises(InputError, match="expected one of"):
        read(tmp_path)


def test_the_list_of_links_is_no_substitute_for_cases(tmp_path):
    (tmp_path / "jama_links.json").write_text("[]")
    with pytest.raises(InputError, match=r"jama_links\.json names cases but holds none"):
        read(tmp_path)


def test_a_scrape_of_another_delimiter_or_encoding(tmp_path):
    (tmp_path / "jama_raw.csv").write_text(";".join(CASE) + "\n")
    with pytest.raises(InputError, match="no column link, question"):
        read(tmp_path)
    with (tmp_path / "jama_raw.csv").open("w", newline="", encoding="latin-1") as stream:
        writer = csv.DictWriter(stream, CASE)
        writer.writeheader()
        writer.writerows([{**CASE, "question": "Caf\u00e9?"}, {**CASE, "link": "x/2"}])
    records, refused = read(tmp_path)
    assert [record.record_id for record in records] == ["jama/2"]
    assert [(item.item, item.kind) for item in refused.items] == [("line 2", "encoding")]


def test_twin_is_read_whole_and_says_the_truth_about_its_drawings(tmp_path):
    jama.write_twin(tmp_path, cases=16, seed=3)
    records, refused = read(tmp_path)
    assert not refused.items
    assert len(records) == 16
    assert sum(not record.images for record in records) == 2
    places = [record.qa[0].options.index(record.qa[0].answer) for record in records]
    assert {places.count(place) for place in range(4)} == {4}
    for record in records:
        assert record.qa[0].question.startswith("Invented demo case")
        assert record.texts[0].kind == "discussion"
        assert (tmp_path / record.images[0].path).is_file() if record.images else True


def test_twin_depends_on_its_seed_alone(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        jama.write_twin(tmp_path / folder, cases=3, seed=seed)
    first, same, other = (
        (tmp_path / folder / "images" / "demo-01.png").read_bytes() for folder in "abc"
    )
    assert first == same
    assert first != other
    assert (tmp_path / "a/jama.jsonl").read_text() == (tmp_path / "b/jama.jsonl").read_text()


def test_demo_texts_name_what_is_drawn():
    lines = (Path(jama.__file__).parent / "jama_demo.jsonl").read_text().splitlines()
    words = {1: "one", 2: "two", 3: "three"}
    for line in lines:
        demo = json.loads(line)
        if demo["factors"] is None:
            continue
        organ, side, size, count = demo["factors"]
        assert f"{words[count]} {size}" in demo["question"]
        assert side in demo["question"]
        assert organ.removesuffix("s") in demo["question"] or organ == "brain"


def test_text_only_cases_are_counted_apart(tmp_path):
    jama.write_twin(tmp_path, cases=16, seed=3)
    counts = RecordCounts()
    for record in read(tmp_path)[0]:
        counts.add(record)
    document = counts.document()
    assert (document["records"], document["records_without_images"]) == (16, 2)
