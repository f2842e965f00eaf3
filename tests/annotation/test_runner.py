import base64
import io
import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from annotation_records import (
    NEIGHBOUR_FINDING,
    ListRetriever,
    bare,
    case_hit,
    guideline_hit,
    with_regions,
    with_text,
    write_case,
)
from chat_server import Answer, ChatRequest, ChatServer, as_json
from demo_replies import demo_reply
from PIL import Image

from semihvision.annotation import runner
from semihvision.annotation.model import ModelProducer
from semihvision.annotation.plan import plan
from semihvision.annotation.runner import annotate
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.store import store_path, stored_drafts
from semihvision.annotation.summary import Summary
from semihvision.core.errors import InputError
from semihvision.core.lineage import sources_of
from semihvision.core.parquet import read_records, write_records
from semihvision.core.policy import CONDITIONS, OWNER_REFUSED, Permission
from semihvision.core.record import Provenance, Record, Retrieved
from semihvision.llm.client import LLMClient, LLMSettings

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


class Killed(Exception):  # noqa: N818 - no error of the program
    """Stands for whatever ends a process in the middle."""


class Bench:
    """Records on disk, a server, and a shorthand for one run over them."""

    def __init__(self, folder: Path, server: ChatServer, records: Sequence[Record]) -> None:
        self.server = server
        self.path, self.roots = write_case(folder, records)
        self.out = folder / "out.parquet"
        self.retriever = ListRetriever([case_hit(), guideline_hit()])
        self.settings = AnnotationSettings()

    def client(self, permissions: Sequence[Permission] = (), **changes: Any) -> LLMClient:
        values = {"model": "toy", "base_url": self.server.base_url, "max_retries": 0}
        return LLMClient(LLMSettings(**{**values, "concurrency": 2, **changes}), permissions)

    def run(self, client: LLMClient | None = None, **changes: Any) -> Summary:
        values: dict[str, Any] = {"roots": self.roots, "retriever": self.retriever}
        producer = ModelProducer(client or self.client(), self.settings)
        return annotate(
            self.path,
            out=self.out,
            producer=producer,
            settings=self.settings,
            clock=lambda: NOON,
            **{**values, **changes},
        )

    def written(self) -> dict[str, Record]:
        return {record.record_id: record for record in read_records(self.out)}

    def refused(self) -> dict[str, dict[str, str]]:
        lines = self.out.with_name("out.refused.jsonl").read_text().splitlines()
        return {item["item"]: item for item in map(json.loads, lines)}


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, chat_server: ChatServer) -> MakeBench:
    chat_server.reply = demo_reply
    return lambda *records: Bench(tmp_path, chat_server, records)


def reply(caption: str = "A mass.", *qa: tuple[str, str], numbers: Sequence[int] = ()) -> Answer:
    pairs = [
        {"question": q, "answer": a, "answer_type": "OPEN", "image_numbers": list(numbers)}
        for q, a in qa
    ]
    return as_json({"caption": caption, "qa": pairs})


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


# Gates


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


# Resuming


def many(count: int) -> list[Record]:
    return [with_text(f"case{i}") for i in range(count)]


def test_a_killed_run_goes_on_where_it_was(bench: MakeBench) -> None:
    made = bench(*many(12))
    seen: list[int] = []

    def kill(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 5:
            raise Killed

    with pytest.raises(Killed):
        made.run(on_progress=kill)
    assert not made.out.exists()
    kept = sum(1 for _ in stored_drafts(store_path(made.out)))
    asked = len(made.server.requests)
    assert kept == 5
    assert asked < 12
    summary = made.run()
    assert (summary.resumed, summary.requested, summary.annotated) == (5, 7, 12)
    assert len(made.server.requests) == asked + 7
    assert made.run().requested == 0
    assert len(made.server.requests) == asked + 7


def test_an_annotated_file_is_not_annotated_again(bench: MakeBench, tmp_path: Path) -> None:
    made = bench(with_text("a"))
    made.run()
    before = made.written()
    write_records(made.path, before.values())
    summary = made.run()
    assert (summary.requested, summary.annotated) == (0, 0)
    assert made.written() == before


def test_changed_work_is_done_again(bench: MakeBench) -> None:
    made = bench(bare("c"))
    made.run()
    made.run(made.client(temperature=0.5))
    made.run(retriever=ListRetriever([case_hit()], sha256="index-2"))
    made.run(made.client(model="other"))
    assert len(made.server.requests) == 4
    write_records(made.path, [bare("c", body_part="thorax")])
    assert made.run().requested == 1


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


def test_a_record_that_stands_twice_is_asked_once(bench: MakeBench) -> None:
    made = bench(with_text("a"), with_text("a"))
    made.run()
    assert len(made.server.requests) == 1
    assert [len(record.qa) for record in read_records(made.out)] == [2, 2]


# Policy


def test_restricted_records_are_refused_elsewhere_without_a_connection(
    bench: MakeBench, remote_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    made = bench(with_text("m", "mimic_cxr"), bare("c"))
    summary = made.run(made.client(base_url=remote_endpoint))
    assert made.server.connections == 0
    assert summary.refused == {"policy": 2}
    assert "mimic_cxr" in made.refused()["mimic_cxr/m"]["reason"]
    assert made.retriever.queries == []
    assert made.written()["mimic_cxr/m"] == with_text("m", "mimic_cxr")


def test_restricted_records_are_accepted_on_this_machine(bench: MakeBench) -> None:
    made = bench(with_text("m", "mimic_cxr"))
    assert made.run().annotated == 1


def test_a_permission_sends_its_source_and_withholds_other_context(
    bench: MakeBench, remote_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    made = bench(bare("c"), with_text("m", "mimic_cxr"))
    secret = "words of a restricted report"
    made.retriever = ListRetriever(
        [case_hit(ref="mimic_cxr/7", source="mimic_cxr", text=secret), guideline_hit()]
    )
    endpoint = remote_endpoint
    from semihvision.core.card import card

    permission = Permission(
        source="folder", endpoint=endpoint, states=card("folder").api_conditions
    )
    summary = made.run(made.client([permission], base_url=endpoint))
    assert summary.refused == {"policy": 1}
    (request,) = made.server.requests
    assert secret not in request.user
    assert "Look at each organ" in request.user
    origin = made.written()["folder/c"].provenance[1]
    assert [item.ref for item in origin.retrieved] == ["demo/1#1"]
    gate = {gate.name: gate for gate in origin.gates}["context_permitted"]
    assert (gate.passed, gate.detail) == (False, "withheld by policy: mimic_cxr")


def derived(name: str) -> Record:
    """A hospital's image with a caption that was made from a restricted report."""
    one = bare(name)
    used = Retrieved(ref="mimic_cxr/s1", kind="case", score=0.9)
    made = Provenance(provenance_id="gen", producer="model", retrieved=(used,))
    return one.edited(provenance=(*one.provenance, made))


def test_a_derivative_is_as_restricted_as_what_it_was_made_from(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    made = bench(derived("d"))
    endpoint = "https://api.example.org/v1"
    allowed = [Permission(source="folder", endpoint=endpoint, states=tuple(CONDITIONS))]
    client = made.client(allowed, base_url=endpoint)
    assert made.run(client).refused == {"policy": 1}
    assert "mimic_cxr" in made.refused()["folder/d"]["reason"]
    assert made.retriever.queries == []
    planned = plan(made.path, settings=made.settings, client=client, permissions=allowed)
    assert planned.requests == 0
    assert {v.source: v.allowed for v in planned.verdicts} == {"folder": True, "mimic_cxr": False}


def test_provenance_keeps_the_sources_of_what_was_retrieved(bench: MakeBench) -> None:
    made = bench(bare("c"))
    made.retriever = ListRetriever([case_hit(ref="folder/7", sources=("folder", "mimic_cxr"))])
    made.run()
    assert sources_of(made.written()["folder/c"]) == ("folder", "mimic_cxr")


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


# The plan


def test_the_plan_counts_without_sending(bench: MakeBench) -> None:
    made = bench(*many(3), with_regions("b"), bare("c"))
    prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 1.0, "max_tokens": 500}
    client = made.client(**prices)
    planned = plan(made.path, settings=made.settings, client=client, out=made.out)
    assert planned.by_path == {"rewrite": 3, "describe": 1, "retrieve": 1}
    assert (planned.requests, planned.tokens_out_at_most) == (5, 2500)
    assert planned.cost_usd_at_most == pytest.approx((planned.tokens_in + 2500) / 1e6)
    assert made.server.connections == 0
    summary = made.run(client)
    assert planned.tokens_in > summary.tokens_in > 0
    again = plan(
        made.path, settings=made.settings, client=client, out=made.out, index_sha256="index-1"
    )
    assert (again.finished, again.requests, again.tokens_in) == (5, 0, 0)


def test_an_owners_word_about_one_record_binds_run_and_plan(
    bench: MakeBench, remote_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    refusing = with_regions("b")
    licence = refusing.licence.model_copy(update={"conditions": (OWNER_REFUSED,)})
    made = bench(with_regions("a"), refusing.edited(licence=licence))
    given = [Permission(source="deeplesion", endpoint=remote_endpoint, states=tuple(CONDITIONS))]
    client = made.client(given, base_url=remote_endpoint)

    planned = plan(made.path, settings=made.settings, client=client, permissions=given)
    summary = made.run(client)

    assert planned.requests == 1
    assert [(v.records, v.allowed) for v in planned.verdicts] == [(1, True), (1, False)]
    assert (summary.annotated, summary.refused) == (1, {"policy": 1})
    assert "owner refuses" in made.refused()["deeplesion/b"]["reason"]
    assert len(made.server.requests) == 1


def test_the_plan_asks_the_policy(bench: MakeBench) -> None:
    made = bench(with_text("m", "mimic_cxr"), with_regions("b"))
    endpoint = "https://api.example.org/v1"
    permission = Permission(source="deeplesion", endpoint=endpoint)
    planned = plan(
        made.path,
        settings=made.settings,
        client=made.client(base_url=endpoint),
        permissions=[permission],
    )
    assert {v.source: (v.records, v.allowed) for v in planned.verdicts} == {
        "mimic_cxr": (1, False),
        "deeplesion": (1, True),
    }
    assert planned.requests == 1
