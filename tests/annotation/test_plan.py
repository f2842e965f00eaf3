import pytest
from annotation_bench import MakeBench, many
from annotation_records import (
    bare,
    with_regions,
    with_text,
)

from semihvision.annotation.plan import plan
from semihvision.core.policy import CONDITIONS, OWNER_REFUSED, Permission


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
