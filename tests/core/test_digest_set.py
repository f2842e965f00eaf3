import sys

from hypothesis import given
from hypothesis import strategies as st

from semihvision.core.digest_set import DigestSet

TEXTS = st.lists(st.text(max_size=3), max_size=300)


@given(TEXTS, TEXTS)
def test_it_counts_as_a_set_does(one: list[str], other: list[str]) -> None:
    sets = [DigestSet(), DigestSet()]
    for found, texts in zip(sets, (one, other), strict=True):
        known: set[str] = set()
        for text in texts:
            assert found.add(text) == (text not in known)
            known.add(text)
        assert len(found) == len(known)
    assert sets[0].common(sets[1]) == sets[1].common(sets[0]) == len(set(one) & set(other))


def test_a_thousand_long_ids_take_few_bytes_each() -> None:
    found = DigestSet()
    for number in range(10_000):
        assert found.add(f"{number:0200d}")
    assert len(found) == 10_000
    assert sys.getsizeof(found._slots) < 43 * 10_000
    assert not any(found.add(f"{number:0200d}") for number in range(10_000))
