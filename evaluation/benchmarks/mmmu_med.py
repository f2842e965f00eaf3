"""MMMU Health & Medicine: college questions of five subjects, 30 validation questions each.

Owner: Yue et al. (MMMU-Benchmark).
URL: https://mmmu-benchmark.github.io/
Licence: Apache-2.0.
Access: open download; nothing is downloaded here.
Citation: Yue et al., "MMMU: a massive multi-discipline multimodal understanding and reasoning
    benchmark for expert AGI", CVPR 2024 (arXiv 2311.16502).
Expected tree (one of these, for references; the first for `evaluate` and `prepare`)::

    <root>/<Subject>/validation-*.parquet    id, question, options, answer, question_type,
                                             image_1 .. image_7 {bytes, path}   (Hugging Face)
    <root>/<Subject>/output.json             [{id, question_type, answer, all_choices, index2ans,
                                             response}]: a model's answers, which hold the golds
    <root>/answer_dict_val.json              {id: {question_type, ground_truth}}: letters only

Split policy: the owners' validation split, which stands for a test here: it is what published
    numbers are about, since the answers of the test split are not public. So its records are marked
    ``test`` and stay out of training, retrieval and annotation. One question is one record.
Known (read in the files): 150 of 900 validation questions, 145 multiple-choice with 2 to 6 options
    and 5 short answers, some of these single letters; three golds of other subjects are lists.
    The Parquet columns are general knowledge and third parties'. A question or option names its
    images as "<image 1>"; the words are kept and the images stand in front, in their order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.reading import each_table
from evaluation.benchmark_records import benchmark_record, qa_of
from evaluation.conventions import CHOICE_CONVENTIONS as CONVENTIONS
from evaluation.mmmu_rows import SUBJECTS, json_rows, reference_of, subject_of
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.imaging.cells import CELL
from semihvision.core.record import Record

if TYPE_CHECKING:
    from semihvision.core.columnar import Place

__all__ = ["CARD", "CONVENTIONS", "load", "questions", "read", "write_twin"]

CARD = Card(
    name="mmmu_med",
    title="MMMU Health & Medicine",
    owner="Yue et al., MMMU-Benchmark",
    url="https://mmmu-benchmark.github.io/",
    licence="Apache-2.0",
    licence_url="https://www.apache.org/licenses/LICENSE-2.0",
    access="Open download.",
    citation="Yue et al., MMMU, CVPR 2024 (arXiv 2311.16502)",
    human_text=True,
    api_clause="Apache-2.0 sets no rule for hosted models.",
    redistribution="yes",
    commercial_use="yes",
    components=(
        Component(
            name="subjects with images",
            patterns=tuple(f"{subject}/validation-*.parquet" for subject in SUBJECTS),
            published=len(SUBJECTS),
            origin="general knowledge",
        ),
    ),
    notes="A benchmark: for evaluation only. Images keep the rights of their sources.",
)

NUM_IMAGES = 7
_REPEATED = "this id was already used; the first is kept"
_COLUMNS = ("id", "question", "options", "answer", "question_type")
_IMAGES = tuple(f"image_{number}" for number in range(1, NUM_IMAGES + 1))


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads the golds of the five subjects.

    Args:
        path: A folder in one of the layouts above, or one of the JSON files.
        refused: Gets questions that cannot be used.

    Raises:
        InputError: Nothing of the layouts is there, or no file of it is usable.
    """
    files = _parquet_files(path)
    if files:
        seen: set[str] = set()
        found = each_table(path, files, refused, lambda file: _of_parquet(file, seen, refused))
        return [reference for _, reference, _ in found]
    references: dict[str, Reference] = {}
    for file in _json_files(path):
        for item, row in json_rows(file):
            try:
                if subject_of(row) not in SUBJECTS:
                    continue
                reference = reference_of(row)
                if reference.id in references:
                    raise InputError(_REPEATED, kind="repeated_id")
            except InputError as error:
                refused.add(item, reason=str(error), kind=error.kind, file=file.name)
            else:
                references[reference.id] = reference
    return list(references.values())


def _of_parquet(
    file: Path, seen: set[str], refused: RefusalLog
) -> Iterator[tuple["Place", Reference, list[str]]]:
    """Place, question and columns of the images of each usable row of one subject."""
    from semihvision.core.columnar import table_rows

    for place, row in table_rows(file, _COLUMNS, also=_IMAGES):
        try:
            reference = reference_of(row)
            if reference.id in seen:
                raise InputError(_REPEATED, kind="repeated_id")
        except InputError as error:
            refused.add(place.item, reason=str(error), kind=error.kind, file=file.name)
        else:
            seen.add(reference.id)
            yield place, reference, [name for name in _IMAGES if row.get(name)]


def _parquet_files(path: Path) -> list[Path]:
    found = (sorted((path / subject).glob("validation-*.parquet")) for subject in SUBJECTS)
    return [file for files in found for file in files]


def _json_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    outputs = [path / subject / "output.json" for subject in SUBJECTS]
    found = [file for file in outputs if file.is_file()]
    if not found and (path / "answer_dict_val.json").is_file():
        found = [path / "answer_dict_val.json"]
    if not found:
        raise InputError(
            f"{path}: none of <Subject>/validation-*.parquet, <Subject>/output.json and "
            "answer_dict_val.json is there"
        )
    return found


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per validation question, with its images.

    Args:
        root: Folder with the Parquet files.
        refused: Gets questions that cannot be used, with the reason.

    Raises:
        InputError: No Parquet file is there, or none is usable.
    """
    files = _parquet_files(root)
    if not files:
        raise InputError(f"{root}: no <Subject>/validation-*.parquet with the images")
    seen: set[str] = set()
    yield from each_table(root, files, refused, lambda file: _records(root, file, seen, refused))


def _records(root: Path, file: Path, seen: set[str], refused: RefusalLog) -> Iterator[Record]:
    relative = file.relative_to(root).as_posix()
    for place, reference, columns in _of_parquet(file, seen, refused):
        try:
            images = [
                probe_image(
                    root, relative, image_id=name, format=CELL, axis=name, index=place.number
                )
                for name in columns
            ]
        except InputError as error:
            refused.add(place.item, reason=str(error), kind=error.kind, file=file.name)
            continue
        qa = qa_of(reference, columns)
        yield benchmark_record(CARD, reference.id, group=reference.id, images=images, qa=[qa])


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """The validation questions with their images, which stay in their tables.

    Raises:
        InputError: As from `read`.
    """
    return questions_of_records(read(root, refused), root)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.mmmu_med`."""
    from data_modules.twins.mmmu_med import write_twin as write

    write(root, cases=cases, seed=seed)
