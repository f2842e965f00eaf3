"""μ-Bench: closed questions about microscopy images of many biological and pathological data sets.

Owner: Lozano, Nirschl et al. (Stanford University).
URL: https://huggingface.co/datasets/jnirschl/uBench
Licence: CC BY-SA 4.0.
Access: open download; nothing is downloaded here.
Citation: Lozano et al., "μ-Bench: a vision-language benchmark for microscopy understanding",
    NeurIPS 2024 Datasets and Benchmarks (arXiv 2407.01791).
Expected tree::

    <root>/**/ubench-test-*.arrow      or *.parquet: image_id, image {bytes, path}, dataset, domain,
                                       questions {kind: {id, question, options, answer} or null}

Split policy: everything is for testing.
Known (owners' README; third parties' loaders, one of them checked on the release 3f2c5b5): 17,315
    images; the kinds domain, subdomain, modality, submodality and stain are coarse perception,
    `classification` is fine perception; the last option is "none of the above". Published are
    79,716 coarse questions without the data sets opencell and sirinukunwattana_et_al_2016, and
    14,644 fine ones without these and two of Eulenberg et al. (16,130 with them): subsets
    ``published coarse`` and ``published fine``. Cognition (121 questions) is not in the release;
    boxes and captions are not read. A question's id is ``<image_id>/<kind>``. Not checked on real
    files.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data_modules.reading import each_table
from evaluation.benchmark_records import benchmark_record, qa_of
from evaluation.conventions import MUBENCH_CONVENTIONS as CONVENTIONS
from evaluation.options import LETTERS
from evaluation.questions import Question, questions_of_records
from evaluation.references import Reference, subset
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.digest_set import DigestSet
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.imaging.cells import CELL
from semihvision.core.record import Record

__all__ = ["CARD", "CONVENTIONS", "load", "questions", "read", "write_twin"]

CARD = Card(
    name="mubench",
    title="μ-Bench",
    owner="Lozano, Nirschl et al., Stanford University",
    url="https://huggingface.co/datasets/jnirschl/uBench",
    licence="CC-BY-SA-4.0",
    licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
    access="Open download.",
    citation="Lozano et al., μ-Bench, NeurIPS 2024 (arXiv 2407.01791)",
    human_text=True,
    api_clause="CC BY-SA 4.0 sets no rule for hosted models.",
    redistribution="yes",
    commercial_use="conditional",
    share_alike=True,
    components=(Component(name="tables", patterns=("**/ubench-test-*.arrow", "**/*.parquet")),),
    notes="A benchmark: for evaluation only. The licence is a third party's word; images have "
    "their own.",
)

COARSE = ("domain", "subdomain", "modality", "submodality", "stain")
FINE = "classification"
NOT_PUBLISHED = ("opencell", "sirinukunwattana_et_al_2016")
NOT_PUBLISHED_FINE = ("eulenberg_et_al_2017_darkfield", "eulenberg_et_al_2017_epifluorescence")
_COLUMNS = ("image_id", "dataset", "questions")


class _Place(NamedTuple):
    """Where an image stands: its table, what its row is called there, and the row's number."""

    path: Path
    item: str
    number: int


def load(path: Path, refused: RefusalLog) -> list[Reference]:
    """Reads questions and golds; images are not touched.

    Args:
        path: One of the owners' files, or their folder.
        refused: Gets questions that cannot be used.

    Raises:
        InputError: No such file is there, or one lacks a column.
    """
    return [one for _, references in _usable(path, refused) for one in references]


def _usable(path: Path, refused: RefusalLog) -> Iterator[tuple[_Place, list[Reference]]]:
    """Where an image stands, and its usable questions."""
    seen = DigestSet()
    root = path.parent if path.is_file() else path
    yield from each_table(root, _files(path), refused, lambda file: _of_table(file, seen, refused))


def _of_table(
    file: Path, seen: DigestSet, refused: RefusalLog
) -> Iterator[tuple[_Place, list[Reference]]]:
    from semihvision.core.columnar import table_rows

    def refuse(place: str, kind: str, error: InputError) -> None:
        refused.add(f"{place}, {kind}", reason=str(error), kind=error.kind, file=file.name)

    for place, row in table_rows(file, _COLUMNS):
        references = []
        for kind in (*COARSE, FINE):
            try:
                reference = _reference(row, kind)
            except InputError as error:
                refuse(place.item, kind, error)
            else:
                references += [reference] if reference is not None else []
        if not references:
            continue
        if seen.add(references[0].image):
            yield _Place(file, place.item, place.number), references
            continue
        repeated = InputError("this image_id was already used", kind="repeated_id")
        for one in references:
            refuse(place.item, one.question_type, repeated)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(path.rglob("ubench-test-*.arrow")) or sorted(path.rglob("*.parquet"))
    if not found:
        raise InputError(f"{path}: no ubench-test-*.arrow and no *.parquet")
    return found


def _reference(row: Mapping[str, Any], kind: str) -> Reference | None:
    """One question of an image; None where it has none of this kind."""
    image, asked = row["image_id"], row["questions"]
    if not isinstance(image, str) or not image or not isinstance(asked, dict):
        raise InputError("image_id, questions: expected text and an object", kind="invalid_row")
    question = asked.get(kind)
    if question is None or question.get("question") is None:
        return None
    options, answer = question.get("options"), question.get("answer")
    if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS):
        raise InputError(f"options: expected 2 to {len(LETTERS)}", kind="invalid_row")
    if not all(isinstance(one, str) for one in (question["question"], *options)):
        raise InputError("question, options: expected texts", kind="invalid_row")
    if options.count(answer) != 1:
        raise InputError("answer: expected the text of exactly one option", kind="answer")
    return Reference(
        id=f"{image}/{kind}",
        question=question["question"],
        answer=answer,
        answer_type="CLOSED",
        question_type=kind,
        image=image,
        group=image,
        options=tuple(options),
        letter=LETTERS[options.index(answer)],
        subsets=_subsets(kind, row["dataset"] or ""),
    )


def _subsets(kind: str, dataset: str) -> tuple[str, ...]:
    group = "fine" if kind == FINE else "coarse"
    left_out = (*NOT_PUBLISHED, *(NOT_PUBLISHED_FINE if kind == FINE else ()))
    published = () if dataset in left_out else (f"published {group}",)
    return (*published, group, f"kind {kind}", subset(f"{group} of", dataset))


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per image with its questions.

    Args:
        root: Folder with the owners' files.
        refused: Gets questions that cannot be used, with the reason.

    Raises:
        InputError: No such file is there, or none is usable.
    """
    for place, asked in _usable(root, refused):
        relative = place.path.relative_to(root).as_posix()
        try:
            image = probe_image(
                root, relative, image_id="image", format=CELL, axis="image", index=place.number
            )
        except InputError as error:
            for one in asked:
                item = f"{place.item}, {one.question_type}"
                refused.add(item, reason=str(error), kind=error.kind, file=place.path.name)
            continue
        name = asked[0].image
        qa = [qa_of(one, ["image"]) for one in asked]
        yield benchmark_record(CARD, name, group=name, images=[image], qa=qa)


def questions(root: Path, refused: RefusalLog) -> list[Question]:
    """All questions with their images; of an image only its place in the file is kept.

    Raises:
        InputError: As from `read`.
    """
    return questions_of_records(read(root, refused), root)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.mubench`."""
    from data_modules.twins.mubench import write_twin as write

    write(root, cases=cases, seed=seed)
