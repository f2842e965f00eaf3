from annotation_bench import MakeBench, reply
from annotation_records import (
    NEIGHBOUR_FINDING,
    bare,
)
from chat_server import as_json

from semihvision.annotation.settings import AnnotationSettings


def test_refused_parts_are_left_out_and_listed(bench: MakeBench) -> None:
    made = bench(bare("c"))
    made.server.reply = lambda request: reply(
        f"CT shows {NEIGHBOUR_FINDING}.",
        ("What is seen?", "A mass."),
        ("what is  seen", "A mass."),
        ("Why?", "I'm sorry, I cannot say."),
        ("Where?", " "),
    )
    summary = made.run()
    record = made.written()["folder/c"]
    assert record.texts == ()
    assert [qa.answer for qa in record.qa] == ["A mass."]
    assert summary.refused == {
        "not_copied": 1, "not_duplicate": 1, "no_apology": 1, "not_empty": 1,
    }  # fmt: skip
    assert summary.gates["not_copied"] == {"passed": 4, "failed": 1}
    listed = made.refused()
    assert len(listed) == 4
    assert not any(NEIGHBOUR_FINDING in item["reason"] for item in listed.values())


def test_unsupported_statements_are_kept_and_marked(bench: MakeBench) -> None:
    made = bench(bare("c"))
    made.server.reply = lambda request: reply(
        "Two nodules of 9 mm in the left lung.", ("What is seen?", "Nodules.")
    )
    assert made.run().refused == {}
    record = made.written()["folder/c"]
    gates = {
        entry.provenance_id: {gate.name: gate for gate in entry.gates}
        for entry in record.provenance
    }
    marked = gates[record.texts[0].provenance_id]["supported"]
    assert (marked.passed, marked.detail) == (False, "unverified: side, number, size")
    assert gates[record.qa[0].provenance_id]["supported"].passed
    assert not gates[record.conversations[0].provenance_id]["supported"].passed


def test_image_numbers_become_image_ids(bench: MakeBench) -> None:
    first = bare("c").images[0]
    images = (first, first.model_copy(update={"image_id": "i2"}))
    made = bench(bare("c", images=images))
    answers = {"image_numbers": [2], "answer_type": "OPEN", "question": "Q?", "answer": "A."}
    beyond = {**answers, "image_numbers": [3], "question": "R?"}
    made.server.reply = lambda request: as_json({"caption": "C.", "qa": [answers, beyond]})
    assert made.run().refused == {"images_known": 1}
    record = made.written()["folder/c"]
    assert [qa.image_ids for qa in record.qa] == [("i2",)]
    assert [c.image_ids for c in record.conversations] == [("i1", "i2"), ("i2",)]


def test_images_beyond_the_limit_are_noted(bench: MakeBench) -> None:
    first = bare("c").images[0]
    images = tuple(first.model_copy(update={"image_id": f"i{n}"}) for n in range(3))
    made = bench(bare("c", images=images))
    made.settings = AnnotationSettings(max_images=2)
    made.run()
    assert len(made.server.requests[0].image_urls) == 2
    gate = made.written()["folder/c"].provenance[1].gates[0]
    assert (gate.name, gate.passed, gate.detail) == ("all_images_shown", False, "2 of 3")
