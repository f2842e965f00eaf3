"""Searching by text, image, and both."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.Image import Image

from semihvision.core.errors import InputError
from semihvision.core.images import read_image
from semihvision.core.record import Record
from semihvision.retrieval.build import build_index
from semihvision.retrieval.cases import Item
from semihvision.retrieval.embedders import Vectors, unit_rows
from semihvision.retrieval.folder import Table
from semihvision.retrieval.fusion import RANK_OFFSET, Ranking, fuse
from semihvision.retrieval.guidelines import demo_guidelines
from semihvision.retrieval.hit import KINDS
from semihvision.retrieval.search import Retriever
from semihvision.retrieval.vectors import ExactIndex


@pytest.fixture(scope="module")
def retriever(shared_index: Path) -> Retriever:
    return Retriever.open(shared_index)


def image_of(record: Record, roots: dict[str, Path]) -> Image:
    return read_image(roots[record.source], record.images[0])


def test_a_case_finds_itself_first_by_text_and_by_image(
    retriever: Retriever, collection: list[Record], roots: dict[str, Path]
) -> None:
    for record in collection[::5]:
        item = next(item for item in retriever.items if item.ref == record.record_id)
        for hits in (
            retriever.search(text=item.text, kinds=("case",)),
            retriever.search(image=image_of(record, roots), kinds=("case",)),
        ):
            assert hits[0].ref == record.record_id
            assert hits[0].score == pytest.approx(1.0, abs=1e-5)
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)
            assert all(-1.0 <= score <= 1.0 for score in scores)


def test_own_group_is_never_found_and_the_result_is_not_shorter(
    retriever: Retriever, collection: list[Record], roots: dict[str, Path]
) -> None:
    for record in collection[::7]:
        hits = retriever.search(
            image=image_of(record, roots),
            k=34,
            kinds=("case",),
            exclude_groups={(record.source, record.group_id)},
        )
        assert len(hits) == 34
        assert record.group_id not in {hit.group_id for hit in hits}
        assert len({hit.ref for hit in hits}) == 34


def test_excluded_references_are_not_found(retriever: Retriever) -> None:
    first = retriever.search(text="cyst of the kidney", k=3)
    rest = retriever.search(text="cyst of the kidney", k=3, exclude_refs={first[0].ref, "unknown"})
    assert [hit.ref for hit in rest[:2]] == [hit.ref for hit in first[1:]]


def test_kinds_limit_what_is_found(retriever: Retriever) -> None:
    text = "size and side of a lesion of the liver"
    guidelines = retriever.search(text=text, kinds=("guideline",))
    assert {hit.kind for hit in guidelines} == {"guideline"}
    assert {hit.source for hit in guidelines} == {"semihvision-demo"}
    assert "liver" in guidelines[0].title
    assert {hit.kind for hit in retriever.search(text=text, kinds=("case",))} == {"case"}


def test_an_image_alone_reaches_guidelines_by_its_similar_cases(
    make_record: Callable[..., Record], own_root: Path, tmp_path: Path
) -> None:
    roots = {"demo": own_root}
    words = {"thorax": "Effusion in the pleural space.", "abdomen": "Cystic lesion of the kidney."}
    records = [
        make_record(n, organ=organ, text=words[organ])
        for n, organ in enumerate(["thorax", "abdomen"] * 4)
    ]
    out = tmp_path / "index"
    build_index(out, records=records, roots=roots, guidelines=[demo_guidelines()])
    bare = make_record(90, organ="abdomen", text="")
    hits = Retriever.open(out).search(image=image_of(bare, roots), kinds=("guideline",), k=2)
    assert [hit.via for hit in hits] == ["similar cases"] * 2
    assert "kidney" in hits[0].title


def test_text_and_image_are_fused_by_reciprocal_rank(
    retriever: Retriever, collection: list[Record], roots: dict[str, Path]
) -> None:
    text = "tumour near the kidney"
    image = image_of(collection[20], roots)
    by_text = [hit.ref for hit in retriever.search(text=text, k=36, kinds=("case",))]
    by_image = [hit.ref for hit in retriever.search(image=image, k=36, kinds=("case",))]
    fused = {
        ref: 1 / (RANK_OFFSET + 1 + by_text.index(ref))
        + 1 / (RANK_OFFSET + 1 + by_image.index(ref))
        for ref in by_text
    }
    hits = retriever.search(text=text, image=image, k=36, kinds=("case",))
    found = [fused[hit.ref] for hit in hits]
    assert len(found) == 36
    assert found == sorted(fused.values(), reverse=True)
    assert {hit.via for hit in hits} == {"text+image"}


def test_both_backends_agree(
    retriever: Retriever,
    collection: list[Record],
    roots: dict[str, Path],
    shared_index: Path,
) -> None:
    exact = Retriever.open(shared_index, backend="exact")
    for record in collection[:6]:
        for query in ({"text": record.texts[0].text}, {"image": image_of(record, roots)}):
            ours = retriever.search(**query, k=20)
            theirs = exact.search(**query, k=20)
            # Equally near cases may change places: rounding differs between the two.
            assert [hit.score for hit in ours] == pytest.approx(
                [hit.score for hit in theirs], abs=1e-5
            )


def test_wrong_queries_are_refused(retriever: Retriever, shared_index: Path) -> None:
    for wrong, message in (
        ({}, "text, an image"),
        ({"text": "  "}, "blank"),
        ({"text": "x", "k": 0}, "at least 1"),
        ({"text": "x", "kinds": ("paper",)}, "case, guideline"),
        ({"text": "x", "kinds": ()}, "case, guideline"),
    ):
        with pytest.raises(InputError, match=message):
            retriever.search(**wrong)
    with pytest.raises(InputError, match="hnswlib, exact"):
        Retriever.open(shared_index, backend="faiss")  # type: ignore[arg-type]


def test_an_index_without_images_or_texts_says_so(
    collection: list[Record], roots: dict[str, Path], tmp_path: Path
) -> None:
    image = image_of(collection[0], roots)
    build_index(tmp_path / "texts", records=collection[:4], image_embedder=None)
    with pytest.raises(InputError, match="holds no images"):
        Retriever.open(tmp_path / "texts").search(image=image)
    build_index(tmp_path / "images-only", records=collection[:4], roots=roots, text_embedder=None)
    only_images = Retriever.open(tmp_path / "images-only")
    with pytest.raises(InputError, match="holds no texts"):
        only_images.search(text="cyst")
    assert only_images.search(image=image, kinds=("guideline",)) == []


def test_a_text_without_known_words_finds_nothing(retriever: Retriever) -> None:
    assert retriever.search(text="ж щ") == []


class OneSpace:
    """A stand-in for a CLIP-like model: text "3" and an image of grey 3 get the same vector."""

    name = "hf:one-space"
    version = "1"
    dimension = 6

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return unit_rows(np.eye(6)[[int(text) for text in texts]])

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        return unit_rows(np.eye(6)[[int(np.asarray(image)[0, 0, 0]) for image in images]])


def one_space_retriever(groups: Sequence[int]) -> Retriever:
    """Six directions; item n has text and image n % 6 and belongs to group `groups[n]`."""
    items = [
        Item(f"d/{n}", "case", "d", f"g{group}", "", str(n % 6), ("d",))
        for n, group in enumerate(groups)
    ]
    rows = np.arange(len(items), dtype=np.int64)
    vectors = unit_rows(np.eye(6)[rows % 6])
    tables = [Table("case_texts", vectors, rows), Table("case_images", vectors, rows)]
    return Retriever(
        items=items,
        tables=tables,
        indexes={table.name: ExactIndex(table.vectors) for table in tables},
        text_embedder=OneSpace(),
        image_embedder=OneSpace(),
    )


def test_one_space_lets_a_text_find_images() -> None:
    hits = one_space_retriever(range(6)).search(text="4", k=1)
    assert hits[0].ref == "d/4"
    assert hits[0].via == "text+text->image"


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    query=st.integers(0, 5),
    k=st.integers(1, 45),
    excluded=st.sets(st.integers(0, 5), max_size=5),
)
def test_exclusion_holds_and_never_shortens(
    groups: list[int], query: int, k: int, excluded: set[int]
) -> None:
    names = {("d", f"g{group}") for group in excluded}
    left = sum(group not in excluded for group in groups)
    hits = one_space_retriever(groups).search(text=str(query), k=k, exclude_groups=names)
    assert not names & {(hit.source, hit.group_id) for hit in hits}
    assert len(hits) == len({hit.ref for hit in hits}) == min(k, left)


def test_a_group_of_the_same_name_in_another_source_stays() -> None:
    items = [Item(f"{s}/1", "case", s, "case 1", "", "", (s,)) for s in ("folder", "eurorad")]
    table = Table("case_texts", unit_rows(np.eye(6)[[3, 3]]), np.arange(2, dtype=np.int64))
    retriever = Retriever(
        items=items,
        tables=[table],
        indexes={"case_texts": ExactIndex(table.vectors)},
        text_embedder=OneSpace(),
        image_embedder=None,
    )
    hits = retriever.search(text="3", exclude_groups={("folder", "case 1")})
    assert [hit.ref for hit in hits] == ["eurorad/1"]


def test_several_images_of_a_case_are_one_hit() -> None:
    items = [Item(f"d/{n}", "case", "d", f"g{n}", "", "", ("d",)) for n in range(3)]
    vectors = unit_rows([[1, 0.0], [1, 0.1], [1, 0.2], [1, 0.3], [0, 1], [0.1, 1]])
    table = Table("case_images", vectors, np.asarray([0, 0, 0, 0, 1, 2], np.int64))
    retriever = Retriever(
        items=items,
        tables=[table],
        indexes={"case_images": ExactIndex(vectors)},
        text_embedder=None,
        image_embedder=None,
    )
    found = retriever.nearest("case_images", vectors[0], 2)
    assert [row for row, _ in found] == [0, 2]
    assert found[0][1] == pytest.approx(1.0)


def test_hits_are_plain_enough_for_json(retriever: Retriever) -> None:
    hits = retriever.search(text="cyst", k=3)
    assert json.loads(json.dumps([hit._asdict() for hit in hits]))[0]["kind"] in KINDS


def test_one_ranking_stays_and_agreement_wins() -> None:
    first = Ranking("text", [(4, 0.9), (1, 0.5), (7, 0.1)])
    assert [found.row for found in fuse([first])] == [4, 1, 7]
    second = Ranking("image", [(2, 1.0), (1, 0.99)])
    fused = fuse([first, second])
    # Item 1 stands in both; 2 and 4 are first in one each, and the higher cosine breaks the tie.
    assert [found.row for found in fused] == [1, 2, 4, 7]
    assert fused[0].score == 0.99
    assert fused[0].via == "text+image"
    assert fuse([]) == []
