import pytest
from annotation_bench import MakeBench
from annotation_records import (
    ListRetriever,
    bare,
    case_hit,
    guideline_hit,
    with_text,
)

from semihvision.annotation.plan import plan
from semihvision.core.lineage import sources_of
from semihvision.core.policy import CONDITIONS, OWNER_REFUSED, Permission
from semihvision.core.record import Provenance, Record, Retrieved


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


def test_nothing_is_looked_up_for_a_record_that_its_owner_refuses(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    one = bare("c")
    licence = one.licence.model_copy(update={"conditions": (OWNER_REFUSED,)})
    made = bench(one.edited(licence=licence))
    endpoint = "https://api.example.org/v1"
    allowed = [Permission(source="folder", endpoint=endpoint, states=tuple(CONDITIONS))]

    summary = made.run(made.client(allowed, base_url=endpoint))

    assert summary.refused == {"policy": 1}
    assert made.retriever.queries == []
