import pytest

from semihvision.core.near_names import did_you_mean, nearest


@pytest.mark.parametrize(
    ("given", "meant"),
    [("val", "validation"), ("trian", "train"), ("t", ""), ("zzz", ""), ("tests", "test")],
)
def test_a_beginning_or_a_slip_finds_the_name(given: str, meant: str) -> None:
    assert nearest(given, ["train", "validation", "test"]) == meant


def test_a_message_ends_with_the_name_or_with_nothing() -> None:
    assert did_you_mean("eurorat", ["eurorad", "jama"]) == "; did you mean eurorad?"
    assert did_you_mean("eurorat", []) == ""
