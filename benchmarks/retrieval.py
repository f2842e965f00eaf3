"""Build and query time of the hnswlib index, and its recall against exact search.

Vectors are synthetic: unit vectors around 50 centres, which is nearer to embeddings of images than
noise is. Takes seconds; prints one table and one JSON line.

    python benchmarks/retrieval.py
"""

import json
import time

import numpy as np

from semihvision.cli.output import print_table
from semihvision.retrieval.embedders import Vectors, unit_rows
from semihvision.retrieval.index import HnswIndex, HnswSettings
from semihvision.retrieval.vectors import ExactIndex, VectorIndex

DIMENSION = 256
SIZES = (1_000, 4_000)
EFS = (10, 50, 200)
QUERIES = 200
K = 10


def clustered(count: int, seed: int) -> Vectors:
    """(count, DIMENSION) unit vectors; the centres are the same for every seed."""
    centres = np.random.default_rng(0).standard_normal((50, DIMENSION))
    rng = np.random.default_rng(seed)
    chosen = centres[rng.integers(len(centres), size=count)]
    return unit_rows(chosen + 1.5 * rng.standard_normal((count, DIMENSION)))


def timed_query(index: VectorIndex, queries: Vectors) -> tuple[np.ndarray, float]:
    """Rows found, and milliseconds a query, asked one by one as a pipeline does."""
    start = time.perf_counter()
    rows = [index.query(query[None], K).rows[0] for query in queries]
    return np.stack(rows), (time.perf_counter() - start) / len(queries) * 1000


def measure(count: int) -> list[dict[str, float]]:
    vectors, queries = clustered(count, 1), clustered(QUERIES, 2)
    truth, exact_ms = timed_query(ExactIndex(vectors), queries)
    results = []
    for ef in EFS:
        start = time.perf_counter()
        index = HnswIndex.build(vectors, HnswSettings(ef=ef))
        build_s = time.perf_counter() - start
        rows, query_ms = timed_query(index, queries)
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, truth, strict=True)])
        results.append(
            {
                "n": count,
                "ef": ef,
                "build_s": round(build_s, 3),
                "query_ms": round(query_ms, 4),
                "exact_query_ms": round(exact_ms, 4),
                "recall_at_10": round(float(recall), 4),
            }
        )
    return results


def main() -> None:
    results = [row for count in SIZES for row in measure(count)]
    settings = HnswSettings()
    title = f"hnswlib, D={DIMENSION}, M={settings.M}, ef_construction={settings.ef_construction}"
    print_table(title, tuple(results[0]), [tuple(row.values()) for row in results])
    print(json.dumps({"benchmark": "retrieval", "dimension": DIMENSION, "results": results}))


if __name__ == "__main__":
    main()
