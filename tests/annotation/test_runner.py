import base64
import io
import json
import logging
from typing import Any

import pytest
from annotation_bench import MakeBench, many, reply
from annotation_records import (
    NEIGHBOUR_FINDING,
    bare,
    with_regions,
    with_text,
)
from chat_server import Answer, ChatRequest
from PIL import Image

from semihvision.annotation import runner
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.store import store_path
from semihvision.core.errors import InputError
from semihvision.core.parquet import read_records

# The three paths


def test_each_record_takes_its_path_and_is_annotated(bench: MakeBench) -> None:
    made = bench(with_text("a"), with_regions("b"), bare("c"))
    summary = made.run()
    assert summary.by_path == {"rewrite": 1, "describe": 1, "retrieve": 1}
    assert (summary.annotated, summary.refused, summary.requested) == (3, {}, 3)
    for before, after in zip(read_records(made.path), read_records(made.out), strict=True):
        assert after.texts[: len(before.texts)] == before.texts
        assert after.provenance[: len(before.provenance)] == before.provenance
        assert after.texts[-1].kind == "caption"
        assert after.qa
        assert after.conversations[0].turns[0].text.startswith("<image>\n")


def test_the_model_sees_the_image_and_the_material(bench: MakeBench) -> None:
    made = bench(with_text("a"))
    made.settings = AnnotationSettings(image_size_px=32)
    made.run()
    (request,) = made.server.requests
    assert request.schema_name == "Annotation"
    assert "hypodense mass of 23 mm" in request.user
    (url,) = request.image_urls
    data = base64.b64decode(url.split(",")[1])
    assert Image.open(io.BytesIO(data)).size == (32, 32)


def test_retrieved_items_are_sent_and_stand_in_the_provenance(bench: MakeBench) -> None:
    made = bench(bare("c"))
    made.run()
    assert NEIGHBOUR_FINDING in made.server.requests[0].user
    origin = made.written()["folder/c"].provenance[1]
    assert [(item.ref, item.score) for item in origin.retrieved] == [
        ("eurorad/9", 0.9),
        ("demo/1#1", 0.5),
    ]


def test_provenance_says_who_when_and_what_it_cost(bench: MakeBench) -> None:
    made = bench(with_text("a"))
    summary = made.run(made.client(usd_per_million_in=1.0, usd_per_million_out=2.0))
    record = made.written()["eurorad/a"]
    origin = record.provenance[1]
    assert (origin.producer, origin.model) == ("model", "toy-loopback")
    assert origin.created_at == "2026-01-02T12:00:00+00:00"
    assert len(origin.prompt_hash) == 64
    assert origin.tokens_in > origin.tokens_out > 0
    assert origin.cost_usd == (origin.tokens_in + 2 * origin.tokens_out) / 1e6
    assert summary.cost_usd == origin.cost_usd
    children = record.provenance[2:]
    assert {child.parent_id for child in children} == {origin.provenance_id}
    assert sum(child.tokens_in for child in children) == 0
    named = [part.provenance_id for part in (*record.texts[3:], *record.qa, *record.conversations)]
    assert named == [child.provenance_id for child in children]


def test_ids_and_output_are_the_same_every_time(bench: MakeBench) -> None:
    made = bench(with_text("a"), bare("c"))
    made.run()
    first = list(made.written().values())
    store_path(made.out).unlink()
    made.run()
    assert list(made.written().values()) == first


def test_the_summary_says_how_human_the_result_is(bench: MakeBench) -> None:
    made = bench(with_text("a"))
    made.server.reply = lambda request: reply("Six words are in this caption")
    summary = made.run()
    assert summary.words == {"human": 24, "model": 6}
    assert summary.share() == {"human": 80.0, "model": 20.0}
    assert json.loads(json.dumps(summary.as_dict()))["share_percent"]["model"] == 20.0


# Failures


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (Answer(refusal="no"), "refusal"),
        (Answer(text="no json"), "invalid"),
        (Answer(text='{"caption": "', finish_reason="length"), "cut_off"),
        (Answer(status=500), "transport"),
    ],
    ids=["refusal", "invalid", "cut off", "transport"],
)
def test_failures_are_listed_and_tried_again(bench: MakeBench, broken: Answer, kind: str) -> None:
    made = bench(with_text("a"), with_text("b"))

    def half(request: ChatRequest) -> Answer:
        return broken if "23 mm" in request.user and not made.server.requests[1:] else reply()

    made.server.reply = half
    summary = made.run(made.client(concurrency=1))
    assert summary.refused == {kind: 1}
    assert (summary.failures, summary.annotated) == ({kind: 1}, 1)
    assert list(made.refused()) == ["eurorad/a"]
    assert made.written()["eurorad/a"] == with_text("a")
    made.server.reply = lambda request: reply()
    summary = made.run()
    assert (summary.requested, summary.resumed, summary.refused) == (1, 1, {})
    assert not made.out.with_name("out.refused.jsonl").exists()


def test_a_dead_endpoint_ends_the_run(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GIVE_UP_AFTER", 3)
    made = bench(*many(10))
    made.server.reply = lambda request: Answer(status=503)
    with pytest.raises(InputError, match=r"3 requests in a row .* status 503"):
        made.run(made.client(concurrency=1))
    assert len(made.server.requests) == 3


# Bad input


def test_a_missing_image_is_refused_and_the_rest_goes_on(bench: MakeBench) -> None:
    made = bench(with_text("a"), with_text("b"), bare("c"))
    (made.roots["eurorad"] / "b.png").unlink()
    (made.roots["folder"] / "c.png").write_bytes(b"no image")
    summary = made.run()
    assert (summary.refused, summary.annotated) == ({"missing_image": 1, "unreadable_image": 1}, 1)
    assert "b.png: no such image" in made.refused()["eurorad/b"]["reason"]
    assert "c.png: unreadable" in made.refused()["folder/c"]["reason"]


def test_a_record_without_anything_is_refused(bench: MakeBench) -> None:
    made = bench(with_text("a"), bare("c", images=()))
    assert made.run().refused == {"no_path": 1}
    assert list(made.refused()) == ["folder/c"]


def test_the_output_is_parquet(bench: MakeBench) -> None:
    made = bench(with_text("a"))
    made.out = made.out.with_suffix(".jsonl")
    with pytest.raises(InputError, match=r"ends with \.parquet"):
        made.run()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"roots": {}}, "--root folder=DIR"),
        ({"retriever": None}, "--index DIR"),
    ],
)
def test_what_is_missing_for_the_whole_run_is_named(
    bench: MakeBench, changes: dict[str, Any], words: str
) -> None:
    made = bench(bare("c"))
    with pytest.raises(InputError, match=words):
        made.run(**changes)
    assert made.server.connections == 0


def test_the_input_is_not_overwritten(bench: MakeBench) -> None:
    made = bench(with_text("a"))
    made.out = made.path
    with pytest.raises(InputError, match="replace its own input"):
        made.run()


def test_nothing_of_a_patient_is_logged(bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = bench(with_text("a"), bare("c"))
    made.run()
    for words in ("hypodense", "renal vein", "Demo caption", "data:image"):
        assert words not in caplog.text
