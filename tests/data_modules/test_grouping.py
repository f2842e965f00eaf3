from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from data_modules.grouping import grouped_rows

ROWS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9)), max_size=40)


@given(ROWS)
def test_rows_are_grouped_as_by_a_dictionary(rows: list[tuple[str, int]]) -> None:
    told = []

    def read(is_last: bool) -> Iterator[tuple[str, int]]:
        told.append(is_last)
        yield from rows

    expected: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        expected.setdefault(row[0], []).append(row)

    assert list(grouped_rows(read, lambda row: row[0])) == list(expected.values())
    assert told.count(True) == 1
    assert told[-1]
