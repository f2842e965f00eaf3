"""The twin of μ-Bench: phantoms as images of invented data sets, in two Arrow files."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.random import default_rng

from data_modules.phantom_questions import choices
from data_modules.phantoms import design
from data_modules.twins.pictures import jpeg

KINDS = ("domain", "subdomain", "modality", "submodality", "stain", "classification")
ASKED = ("domain", "modality", "classification")
"""Kinds of questions that a twin's image has; the others are null, as they are for many images."""
DATASETS = ("kather_et_al_2016", "opencell", "acevedo_et_al_2020")
PART_ROWS = 8
_QUESTION = pa.struct(
    [("id", pa.string()), ("question", pa.string()), ("options", pa.list_(pa.string())),
     ("answer", pa.string())]
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
        ("dataset", pa.string()),
        ("domain", pa.string()),
        ("questions", pa.struct([(kind, _QUESTION) for kind in KINDS])),
    ]
)

Row = dict[str, Any]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes phantoms with three questions each into two files.

    Args:
        root: Folder to write to.
        cases: Number of images.
        seed: Decides everything.
    """
    rows = draw_rows(cases, seed)
    half = (len(rows) + 1) // 2
    write_file(file_of(root, 0), rows[:half])
    write_file(file_of(root, 1), rows[half:])


def draw_rows(cases: int, seed: int) -> list[Row]:
    """Draws all images and returns their rows."""
    rows = []
    for index, factors in enumerate(design(cases, default_rng([seed, 33]))):
        name = f"phantom-{index:05d}"
        asked = {
            kind: {
                "id": f"{name}-{kind}",
                "question": one.question,
                # The owners' last option is always this.
                "options": [*one.options, "none of the above"],
                "answer": one.answer,
            }
            for kind, one in zip(ASKED, choices(factors, index), strict=True)
        }
        rows.append(
            {
                "image_id": name,
                "image": {"bytes": jpeg(factors, [seed, 33, index]), "path": None},
                "label": 0,
                "dataset": DATASETS[index % len(DATASETS)],
                "domain": "pathology",
                "questions": dict.fromkeys(KINDS) | asked,
            }
        )
    return rows


def file_of(root: Path, number: int) -> Path:
    """Where a file stands; the owners' hub counts them from 0."""
    return root / "perception" / "0.1.0" / f"ubench-test-{number:05d}-of-00002.arrow"


def write_file(path: Path, rows: list[Row], *, without: str = "") -> None:
    """Writes one file in Arrow's stream form, which may lack a column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    if without:
        table = table.drop_columns([without])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=PART_ROWS)
