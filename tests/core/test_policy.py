from dataclasses import replace
from itertools import combinations

import pytest

from semihvision.core.card import CARD_MODULES, Card, card
from semihvision.core.errors import InputError, PolicyError
from semihvision.core.policy import (
    CONDITIONS,
    OWNER_PERMITTED,
    OWNER_REFUSED,
    RECORD_TERMS,
    Permission,
    is_loopback,
    may_send,
    require_encryption,
    require_may_send,
)

HOSTED = "https://api.example.org/v1"
LOCAL = "http://127.0.0.1:8000/v1"


def card_with(*conditions: str) -> Card:
    return replace(card("deeplesion"), api_conditions=conditions)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://localhost",
        "http://localhost:8000/v1",
        "HTTP://LOCALHOST:8000/V1/",
        "http://127.0.0.1:11434/v1/",
        "http://127.8.9.10",
        "http://[::1]:8000/v1",
        "https://[0:0:0:0:0:0:0:1]",
    ],
)
def test_this_machine_is_local(endpoint: str) -> None:
    assert is_loopback(endpoint)
    assert may_send(card("mimic_cxr"), endpoint, []).allowed


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.openai.com/v1",
        "http://127.0.0.1@evil.com/v1",
        "http://localhost:8000@evil.com",
        "http://evil.com@127.0.0.1",
        "http://evil.com\\@127.0.0.1",
        "http://127.0.0.1\\@evil.com",
        "http://localhost.evil.com",
        "http://127.0.0.1.evil.com",
        "http://evil.com#@localhost",
        "http://evil.com?host=localhost",
        "http://evil.com/localhost",
        "http://local\thost",
        "http://localhost ",
        "http://localhost.",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0.0.0.0:8000",
        "http://10.0.0.1",
        "http://192.168.1.2",
        "http://[::]",
        "http://[fe80::1]",
        "http://[::1",
        "http://localhost:99999",
        "http://ⓛocalhost",
        "ftp://localhost",
        "localhost:8000",
        "127.0.0.1",
        "",
    ],
)
def test_everything_else_is_not(endpoint: str) -> None:
    assert not is_loopback(endpoint)


@pytest.mark.parametrize("conditions", [(), ("zero_retention",), tuple(CONDITIONS)])
def test_truth_table(conditions: tuple[str, ...]) -> None:
    """Local: always. Hosted: a permission for source and endpoint that states every condition."""
    one = card_with(*conditions)
    assert may_send(one, LOCAL, []).allowed
    assert not may_send(one, HOSTED, []).allowed
    for count in range(len(CONDITIONS) + 1):
        for states in combinations(CONDITIONS, count):
            enough = set(conditions) <= set(states)
            for source, endpoint, fits in (
                (one.name, HOSTED, True),
                ("eurorad", HOSTED, False),
                (one.name, "https://api.example.org/v2", False),
                (one.name, "http://api.example.org/v1", False),
                (one.name, "https://example.org/v1", False),
                (one.name, "https://api.example.org:8443/v1", False),
                (one.name, LOCAL, False),
            ):
                given = Permission(source=source, endpoint=endpoint, states=states)
                assert may_send(one, HOSTED, [given]).allowed == (fits and enough)


OWN = (
    (),
    ("owner_permission",),
    ("zero_retention", "owner_permission"),
    (OWNER_PERMITTED,),
    ("owner_permission", OWNER_PERMITTED),
    (OWNER_REFUSED,),
    (OWNER_PERMITTED, OWNER_REFUSED),
)
"""Conditions in the licence of a record."""


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize(
    "conditions", [(), ("owner_permission",), ("no_training", "owner_permission")]
)
def test_truth_table_of_the_records_own_rights(
    own: tuple[str, ...], conditions: tuple[str, ...]
) -> None:
    """They add to the card's; the owner's permission meets one of these, a refusal ends it."""
    one = card_with(*conditions)
    needed = {*conditions, *own} - {OWNER_PERMITTED, OWNER_REFUSED}
    if OWNER_PERMITTED in own:
        needed -= {"owner_permission"}
    assert may_send(one, LOCAL, [], own).allowed
    assert not may_send(one, HOSTED, [], own).allowed
    for count in range(len(CONDITIONS) + 1):
        for states in combinations(CONDITIONS, count):
            given = Permission(source=one.name, endpoint=HOSTED, states=states)
            allowed = needed <= set(states) and OWNER_REFUSED not in own
            assert may_send(one, HOSTED, [given], own).allowed == allowed


def test_what_only_an_owner_can_say_is_no_statement_of_the_user() -> None:
    for term in RECORD_TERMS:
        with pytest.raises(InputError, match=f"unknown conditions {term}"):
            Permission(source="eurorad", endpoint=HOSTED, states=(term,))


def test_a_condition_that_is_not_known_cannot_be_met() -> None:
    given = Permission(source="deeplesion", endpoint=HOSTED, states=tuple(CONDITIONS))

    verdict = may_send(card("deeplesion"), HOSTED, [given], ("embargo",))

    assert not verdict.allowed
    assert "embargo (a condition of the record's own licence" in verdict.reason
    refused = may_send(card("deeplesion"), HOSTED, [given], (OWNER_REFUSED,))
    assert "the owner refuses hosted models for this record" in refused.reason


@pytest.mark.parametrize(
    "written",
    ["https://api.example.org/v1/", "HTTPS://API.EXAMPLE.ORG/v1", "https://api.example.org:443/v1"],
)
def test_endpoints_are_compared_by_what_they_mean(written: str) -> None:
    given = Permission(source="deeplesion", endpoint=written)

    assert may_send(card("deeplesion"), HOSTED, [given]).allowed


@pytest.mark.parametrize(
    "plain", ["http://api.example.org/v1", "http://127.1:8000/v1", "HTTP://10.0.0.1", "ws://h.org"]
)
def test_nothing_goes_to_another_machine_in_clear(plain: str) -> None:
    given = Permission(source="deeplesion", endpoint=plain, states=tuple(CONDITIONS))

    verdict = may_send(card("deeplesion"), plain, [given])

    assert not verdict.allowed
    assert "https://" in verdict.reason
    with pytest.raises(PolicyError, match="not encrypted"):
        require_encryption(plain)
    require_encryption(LOCAL)
    require_encryption(HOSTED)


def test_conditions_may_be_stated_in_several_permissions() -> None:
    one = card_with("zero_retention", "no_training")
    parts = [
        Permission(source=one.name, endpoint=HOSTED, states=(state,))
        for state in one.api_conditions
    ]

    assert may_send(one, HOSTED, parts).allowed
    assert not may_send(one, HOSTED, parts[:1]).allowed


def test_a_refusal_names_clause_link_and_setting() -> None:
    one = card("mimic_cxr")

    with pytest.raises(PolicyError) as caught:
        require_may_send(one, HOSTED, [])

    message = str(caught.value)
    assert one.api_clause in message
    assert one.licence_url in message
    assert (
        "permissions: [{source: mimic_cxr, endpoint: https://api.example.org:443/v1, "
        "states: [zero_retention, no_training, no_human_review]}]" in message
    )


def test_a_refusal_names_what_was_not_stated() -> None:
    given = Permission(
        source="mimic_cxr", endpoint=HOSTED, states=("zero_retention", "no_training")
    )

    verdict = may_send(card("mimic_cxr"), HOSTED, [given])

    assert not verdict.allowed
    assert "no_human_review (nobody at the provider reads them)" in verdict.reason
    assert "does not state no_human_review" in verdict.reason


def test_keys_in_an_endpoint_are_never_shown() -> None:
    secret = "sk-12345"
    for endpoint in (f"https://user:{secret}@h.org/v1", f"https://h.org/v1?key={secret}"):
        assert secret not in may_send(card("deeplesion"), endpoint, []).reason
    for endpoint in (f"https://user:{secret}@h.org:999999", secret):
        with pytest.raises(InputError) as caught:
            may_send(card("deeplesion"), endpoint, [])
        assert secret not in str(caught.value)


def test_unknown_conditions_and_odd_endpoints_are_errors() -> None:
    with pytest.raises(InputError, match=r"unknown conditions trust_me; known: zero_retention"):
        Permission(source="mimic_cxr", endpoint=HOSTED, states=("trust_me",))
    with pytest.raises(InputError, match="no base URL such as"):
        may_send(card("deeplesion"), "api.example.org", [])


@pytest.mark.parametrize("name", CARD_MODULES)
def test_no_source_goes_anywhere_by_default(name: str) -> None:
    assert not may_send(card(name), HOSTED, []).allowed


TERMS = {
    "mimic_cxr": {"zero_retention", "no_training", "no_human_review"},
    "padchest": {"agreement_allows"},
    "radiopaedia": {"owner_permission"},
    "jama": {"owner_permission"},
    "lld_mmri": {"agreement_allows"},
    "quilt_1m": {"agreement_allows"},
    "folder": {"institution_approval", "zero_retention", "no_training", "no_human_review"},
    "deeplesion": set(),
    "eurorad": set(),
    "vqa_rad": set(),
}
"""What each owner's terms ask for before a hosted model sees anything (README, "Sources")."""


@pytest.mark.parametrize(("name", "needed"), TERMS.items())
def test_truth_table_of_the_sources(name: str, needed: set[str]) -> None:
    """Exactly those statements open the way, for this source and endpoint and no other."""
    one = card(name)
    assert set(one.api_conditions) == needed
    assert may_send(one, LOCAL, []).allowed
    for count in range(len(CONDITIONS) + 1):
        for states in combinations(CONDITIONS, count):
            given = Permission(source=name, endpoint=HOSTED, states=states)
            assert may_send(one, HOSTED, [given]).allowed == (needed <= set(states))
            other = Permission(source="open_guidelines", endpoint=HOSTED, states=states)
            assert not may_send(one, HOSTED, [other]).allowed
            assert not may_send(one, "https://elsewhere.org/v1", [given]).allowed
