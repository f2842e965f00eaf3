"""The audit: recall and agreement of neighbours."""

from pathlib import Path

import numpy as np
import pytest

from semihvision.core.errors import InputError
from semihvision.core.record import Record
from semihvision.retrieval import audit, build_index
from semihvision.retrieval.audit import Agreement
from semihvision.retrieval.index import HnswSettings


def by_key(rows: list[Agreement]) -> dict[tuple[str, str], Agreement]:
    return {(row.table, row.attribute): row for row in rows}


def test_drawn_cases_have_neighbours_of_their_kind(shared_index: Path) -> None:
    report = audit(shared_index, k=4)
    assert {row.table: row.recall for row in report.recall} == {
        "case_images": 1.0,
        "case_texts": 1.0,
        "guidelines": 1.0,
    }
    found = by_key(report.agreement)
    organ = found["case_images", "body_part"]
    assert organ.queries == 36
    assert organ.pairs == 36 * 4
    # 12 cases an organ, 2 of them of the query's own patient: 10 of the 34 others.
    assert organ.chance == pytest.approx(10 / 34)
    assert organ.agreement > 0.9
    lesion = found["case_images", "demo/lesion_type"]
    assert lesion.chance == pytest.approx(16 / 34)
    assert lesion.agreement > lesion.chance + 0.2
    assert found["case_images", "modality"].chance == 1.0


def test_labels_without_relation_to_the_image_agree_at_chance(
    collection: list[Record], roots: dict[str, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shuffled = [
        record.edited(
            labels=(record.labels[0].model_copy(update={"value": str(rng.integers(2))}),),
            body_part="",
        )
        for record in collection
    ]
    build_index(tmp_path / "index", records=shuffled, roots=roots, text_embedder=None)
    found = by_key(audit(tmp_path / "index", k=10).agreement)
    row = found["case_images", "demo/lesion_type"]
    assert row.agreement == pytest.approx(row.chance, abs=0.1)
    assert ("case_images", "body_part") not in found


def test_one_group_has_nobody_to_agree_with(
    collection: list[Record], roots: dict[str, Path], tmp_path: Path
) -> None:
    same = [record.edited(group_id="patient-0") for record in collection[:5]]
    build_index(tmp_path / "index", records=same, roots=roots)
    report = audit(tmp_path / "index")
    assert report.agreement == []
    assert [row.k for row in report.recall] == [5, 5]


def test_a_starved_graph_shows_in_the_recall(tmp_path: Path, collection: list[Record]) -> None:
    """Texts of 300 cases, a graph with two links: some neighbours cannot be reached."""
    many = [
        record.edited(
            record_id=f"demo/{n}-{number}",
            images=(),
            texts=(record.texts[0].model_copy(update={"text": f"case {n} {number * 7919} word"}),),
        )
        for n in range(10)
        for number, record in enumerate(collection)
    ]
    poor = HnswSettings(M=2, ef_construction=2, ef=1)
    build_index(tmp_path / "index", records=many, settings=poor, image_embedder=None)
    report = audit(tmp_path / "index", k=5, max_queries=100)
    assert report.recall[0].queries == 100
    assert report.recall[0].recall < 0.95


@pytest.mark.parametrize("wrong", [{"k": 0}, {"max_queries": 0}])
def test_wrong_numbers_are_refused(shared_index: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        audit(shared_index, **wrong)
