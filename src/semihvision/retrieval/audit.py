"""Is the index any good? Measured recall of the graph, and what neighbours have in common.

Two questions, answered on the index itself, without external data:

- recall@k: of the k vectors hnswlib returns, how many are truly among the k nearest? A returned
  vector counts if it is as near as the k-th nearest, so that equal vectors are no errors.
- agreement: how often does a case's neighbour from another group have the same body part, modality
  or label value, against chance, which is that of a case drawn from the other groups at random?

Labels are part of the indexed text, so agreement among `case_texts` is partly by construction;
agreement among `case_images` is the evidence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semihvision.core.errors import InputError
from semihvision.retrieval.cases import Group, Item, group_of
from semihvision.retrieval.search import Retriever
from semihvision.retrieval.vectors import ExactIndex

_TIE = 1e-5

Rows = NDArray[np.int64]


class _Query(NamedTuple):
    """A case's row of `items`, and those of its neighbours from other groups, nearest first."""

    row: int
    near: list[int]


class Recall(NamedTuple):
    """Recall@k of one table against exact search.

    Attributes:
        table: Its name.
        vectors: Number of vectors in it.
        queries: Number of vectors asked for (n).
        k: Neighbours compared; the query itself is one of them.
        recall: In [0, 1].
    """

    table: str
    vectors: int
    queries: int
    k: int
    recall: float


class Agreement(NamedTuple):
    """How often neighbours of other groups share an attribute.

    Attributes:
        table: Whose neighbours.
        attribute: ``body_part``, ``modality``, ``region``, or ``<system>/<label name>``.
        queries: Vectors whose case has it and has a neighbour with it (n).
        pairs: Such pairs of query and neighbour.
        agreement: Mean over queries of the share of neighbours with a value in common.
        chance: Mean over the same queries of that share among all cases of other groups that
            have the attribute.
    """

    table: str
    attribute: str
    queries: int
    pairs: int
    agreement: float
    chance: float


@dataclass(frozen=True)
class AuditReport:
    """Both measurements, for every table."""

    k: int
    recall: list[Recall]
    agreement: list[Agreement]


def audit(folder: Path, *, k: int = 10, max_queries: int = 1000, seed: int = 0) -> AuditReport:
    """Measures an index.

    Args:
        folder: The index.
        k: Neighbours looked at, >= 1; fewer where a table holds fewer.
        max_queries: Larger tables are sampled.
        seed: Of the sample.

    Raises:
        InputError: k < 1, max_queries < 1, or no intact index.
    """
    if k < 1 or max_queries < 1:
        raise InputError(f"k {k}, max_queries {max_queries}: expected at least 1")
    retriever = Retriever.open(folder)
    recall = []
    agreement = []
    for name, table in retriever.tables.items():
        picked = np.random.default_rng(seed).permutation(len(table.items))[:max_queries]
        recall.append(_recall(retriever, name, np.sort(picked), k))
        if name != "guidelines":
            agreement += _agreement(retriever, name, np.sort(picked), k)
    return AuditReport(k=k, recall=recall, agreement=agreement)


def _recall(retriever: Retriever, name: str, picked: Rows, k: int) -> Recall:
    vectors = retriever.tables[name].vectors
    k = min(k, len(vectors))
    queries = vectors[picked]
    found = retriever.indexes[name].query(queries, k)
    exact = ExactIndex(vectors).query(queries, k)
    # Cosines are computed anew, so that rounding inside hnswlib is not mistaken for a miss.
    cosines = np.einsum("qkd,qd->qk", vectors[found.rows], queries)
    hits = cosines >= exact.scores[:, -1:] - _TIE
    return Recall(name, len(vectors), len(queries), k, float(hits.mean()))


def _agreement(retriever: Retriever, name: str, picked: Rows, k: int) -> list[Agreement]:
    table = retriever.tables[name]
    items = retriever.items
    members = set(table.items.tolist())
    values = {row: _values(items[row]) for row in members}
    groups: dict[Group, set[int]] = {}
    for row in members:
        groups.setdefault(group_of(items[row]), set()).add(row)
    queries = []
    for place in picked:
        own = int(table.items[place])
        same = frozenset(groups[group_of(items[own])])
        near = retriever.nearest(name, table.vectors[place], k, same)
        queries.append(_Query(own, [item for item, _ in near]))
    attributes = sorted({attribute for found in values.values() for attribute in found})
    rows = (_shared(name, items, values, queries, attribute) for attribute in attributes)
    return [row for row in rows if row is not None]


def _shared(
    table: str,
    items: Sequence[Item],
    values: dict[int, dict[str, frozenset[str]]],
    queries: list[_Query],
    attribute: str,
) -> Agreement | None:
    """The attribute's agreement; None where no case has a neighbour that has it too."""
    everywhere: Counter[frozenset[str]] = Counter()
    by_group: dict[Group, Counter[frozenset[str]]] = {}
    for row, found in values.items():
        if attribute in found:
            everywhere[found[attribute]] += 1
            by_group.setdefault(group_of(items[row]), Counter())[found[attribute]] += 1
    shares, chances, pairs = [], [], 0
    for row, near in queries:
        others = [n for n in near if attribute in values[n]]
        if attribute not in values[row] or not others:
            continue
        mine = values[row][attribute]
        shares.append(sum(bool(mine & values[n][attribute]) for n in others) / len(others))
        pool = everywhere - by_group[group_of(items[row])]
        chances.append(sum(n for value, n in pool.items() if value & mine) / pool.total())
        pairs += len(others)
    if not shares:
        return None
    return Agreement(
        table, attribute, len(shares), pairs, float(np.mean(shares)), float(np.mean(chances))
    )


def _values(item: Item) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, value in item.labels:
        found[name] = found.get(name, frozenset()) | {value}
    return found
