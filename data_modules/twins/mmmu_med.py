"""The twin of MMMU Health & Medicine: phantoms in the Parquet files of the five subjects."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import default_rng

from data_modules.phantom_questions import choices
from data_modules.phantom_words import NUMBER_WORDS
from data_modules.phantoms import Factors, design
from data_modules.twins.pictures import jpeg

SUBJECTS = (
    "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy", "Public_Health",
)  # fmt: skip
IMAGES = tuple(f"image_{number}" for number in range(1, 8))
TEXTS = ("id", "question", "options", "explanation")
MORE_TEXTS = ("img_type", "answer", "topic_difficulty", "question_type", "subfield")
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in TEXTS),
        *((name, _IMAGE) for name in IMAGES),
        *((name, pa.string()) for name in MORE_TEXTS),
    ]
)
_PART_ROWS = 16

Row = dict[str, Any]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes questions about phantoms, the subjects in turn.

    Of six questions one has two images and one a short answer with two spellings; the options of
    the others are four.

    Args:
        root: Folder to write to.
        cases: Number of questions.
        seed: Decides everything.
    """
    for subject, rows in draw_rows(cases, seed).items():
        if rows:
            write_subject(root, subject, rows)


def draw_rows(cases: int, seed: int) -> dict[str, list[Row]]:
    """Draws all questions and returns their rows by subject."""
    rows: dict[str, list[Row]] = {subject: [] for subject in SUBJECTS}
    for index, factors in enumerate(design(cases, default_rng([seed, 31]))):
        subject = SUBJECTS[index % len(SUBJECTS)]
        name = f"validation_{subject}_{len(rows[subject]) + 1}"
        rows[subject].append(_row(name, factors, [seed, 31, index], index))
    return rows


def table_of(root: Path, subject: str) -> Path:
    """Where the table of a subject stands."""
    return root / subject / "validation-00000-of-00001.parquet"


def write_subject(root: Path, subject: str, rows: list[Row], *, without: str = "") -> None:
    """Writes the table of one subject, which may lack a column."""
    path = table_of(root, subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    if without:
        table = table.drop_columns([without])
    pq.write_table(table, path, row_group_size=_PART_ROWS)


def _row(name: str, factors: Factors, seed: list[int], index: int) -> Row:
    num_images = 2 if index % 6 == 3 else 1
    row = dict.fromkeys(SCHEMA.names) | {
        "id": name, "explanation": "", "img_type": "['Body Scans: MRI, CT scans']",
        "topic_difficulty": "Easy", "subfield": "Phantoms",
    }  # fmt: skip
    for number in range(num_images):
        data = jpeg(factors, [*seed, number])
        row[IMAGES[number]] = {"bytes": data, "path": f"{name}_{number + 1}.jpg"}
    if index % 6 == 5:
        golds = [str(factors.number), NUMBER_WORDS[factors.number]]
        question = "How many lesions are there in <image 1>?"
        short = {"question_type": "open", "options": "[]", "answer": str(golds)}
        return row | short | {"question": question}
    asked = choices(factors, index)[0]
    words = "Which organ do <image 1> and <image 2> show?" if num_images == 2 else (
        "Which organ is shown in <image 1>?"
    )  # fmt: skip
    return row | {
        "question": words, "options": str(list(asked.options)), "answer": asked.letter,
        "question_type": "multiple-choice",
    }  # fmt: skip
