"""The folder an index lives in: what lies in it, written in one go, checked before it is used.

    meta.json               schema version, embedders, settings, counts, SHA-256 of every file
    items.parquet           the items; it holds the texts, so it is as confidential as they are
    <table>.safetensors     vectors, and the item each belongs to
    <table>.hnsw            the graph over them
    text_embedder/          what a fitted text embedder learnt
    refused.jsonl           what was left out, and why

Nothing in it is pickled.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.paths import inside
from semihvision.core.reasons import in_words
from semihvision.retrieval.cases import Item
from semihvision.retrieval.embedders import Embedder, FittedEmbedder, Vectors
from semihvision.retrieval.index import HnswIndex, HnswSettings

SCHEMA_VERSION = 2
META = "meta.json"
REFUSED = "refused.jsonl"
TEXT_STATE = "text_embedder"

_LABEL = pa.struct([pa.field("name", pa.string()), pa.field("value", pa.string())])
_ITEMS = pa.schema(
    [
        *(pa.field(n, pa.string()) for n in Item._fields if n not in ("sources", "labels")),
        pa.field("sources", pa.list_(pa.string())),
        pa.field("labels", pa.list_(_LABEL)),
    ]
)


class Table(NamedTuple):
    """Vectors of one kind and modality, and the items they belong to.

    Attributes:
        name: ``case_images``, ``case_texts`` or ``guidelines``.
        vectors: (n, D) float32 unit rows.
        items: (n,) int64, row of the item; a case has as many rows here as readable images.
    """

    name: str
    vectors: Vectors
    items: NDArray[np.int64]


class IndexMeta(NamedTuple):
    """What `meta.json` says, checked.

    Attributes:
        embedders: By modality, ``text`` and ``image``: name, version, dimension; a modality that
            was not indexed is absent.
        settings: Of the graphs.
        counts: Vectors by table, and items by kind.
        files: SHA-256 by file name.
        sha256: Of `meta.json` itself, and so of all of the above: the identity of the index.
    """

    embedders: dict[str, dict[str, Any]]
    settings: HnswSettings
    counts: dict[str, int]
    files: dict[str, str]
    sha256: str


def write_folder(
    out: Path,
    *,
    items: list[Item],
    tables: list[Table],
    embedders: dict[str, Embedder],
    settings: HnswSettings,
    refused: RefusalLog,
) -> None:
    """Writes a complete index folder; an older index of that name is replaced at the end.

    Raises:
        InputError: Something that is no index is in the way.
    """
    if out.exists() and not (out / META).is_file() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: exists and is no index; choose another folder or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _write_items(partial / "items.parquet", items)
        for table in tables:
            save_file(
                {"vectors": table.vectors, "items": table.items},
                partial / f"{table.name}.safetensors",
            )
            HnswIndex.build(table.vectors, settings).save(partial / f"{table.name}.hnsw")
        text = embedders.get("text")
        if isinstance(text, FittedEmbedder):
            (partial / TEXT_STATE).mkdir()
            text.save(partial / TEXT_STATE)
        counts = {table.name: len(table.items) for table in tables}
        for kind in ("case", "guideline"):
            counts[f"{kind}s_as_items"] = sum(item.kind == kind for item in items)
        _write_meta(partial, embedders, settings, counts)
        refused.write(partial / REFUSED)
        _swap(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_meta(folder: Path) -> IndexMeta:
    """Reads `meta.json` and checks that every file is the one it was written with.

    Raises:
        InputError: No index, one of another version, or one whose files changed.
    """
    path = folder / META
    if not path.is_file():
        raise InputError(f"{folder}: no index; make one with `semihvision index build`")
    data = path.read_bytes()
    try:
        values = json.loads(data)
        version = values["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: index version {version}, expected {SCHEMA_VERSION}; build it again"
            )
        meta = IndexMeta(
            embedders=dict(values["embedders"]),
            settings=HnswSettings(**values["hnsw"]),
            counts=dict(values["counts"]),
            files=dict(values["files"]),
            sha256=hashlib.sha256(data).hexdigest(),
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged ({in_words(error)}); build it again") from error
    for name, expected in meta.files.items():
        file = inside(folder, name)
        if not file.is_file():
            raise InputError(f"{file}: missing; build the index again")
        if _sha256(file) != expected:
            raise InputError(f"{file}: changed since the index was built; build it again")
    return meta


def read_items(folder: Path) -> list[Item]:
    """All items, in the order the tables refer to."""
    rows = pq.read_table(folder / "items.parquet", schema=_ITEMS).to_pylist()
    return [_item(row) for row in rows]


def read_tables(folder: Path, meta: IndexMeta) -> list[Table]:
    """All tables of the folder."""
    tables = []
    for name in ("case_images", "case_texts", "guidelines"):
        if f"{name}.safetensors" in meta.files:
            tensors = load_file(folder / f"{name}.safetensors")
            tables.append(Table(name, tensors["vectors"], tensors["items"]))
    return tables


def _item(row: dict[str, Any]) -> Item:
    labels = tuple((label["name"], label["value"]) for label in row["labels"])
    return Item(**{**row, "sources": tuple(row["sources"]), "labels": labels})


def _write_items(path: Path, items: list[Item]) -> None:
    rows = [
        {**item._asdict(), "labels": [{"name": n, "value": v} for n, v in item.labels]}
        for item in items
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_ITEMS), path, compression="zstd")


def _write_meta(
    folder: Path,
    embedders: dict[str, Embedder],
    settings: HnswSettings,
    counts: dict[str, int],
) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    values = {
        "schema_version": SCHEMA_VERSION,
        "embedders": {
            modality: {"name": e.name, "version": e.version, "dimension": e.dimension}
            for modality, e in embedders.items()
        },
        "hnsw": asdict(settings),
        "counts": counts,
        "files": {path.relative_to(folder).as_posix(): _sha256(path) for path in files},
    }
    (folder / META).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _swap(partial: Path, out: Path) -> None:
    """Puts the finished folder in place; only an index or an empty folder was there before."""
    if not out.exists():
        partial.rename(out)
        return
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    out.rename(old)
    partial.rename(out)
    shutil.rmtree(old)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
