from pathlib import Path

import pytest
from annotation_bench import MakeBench, many
from annotation_records import (
    ListRetriever,
    bare,
    case_hit,
    with_text,
)

from semihvision.annotation.store import store_path, stored_drafts
from semihvision.core.parquet import read_records, write_records


class Killed(Exception):  # noqa: N818 - no error of the program
    """Stands for whatever ends a process in the middle."""


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


def test_a_record_that_stands_twice_is_asked_once(bench: MakeBench) -> None:
    made = bench(with_text("a"), with_text("a"))
    made.run()
    assert len(made.server.requests) == 1
    assert [len(record.qa) for record in read_records(made.out)] == [2, 2]
