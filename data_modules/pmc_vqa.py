"""PMC-VQA: multiple-choice questions about figures of open-access articles.

Owner: Zhang et al. (Hugging Face xmcmic/PMC-VQA, GitHub xiaoman-zhang/PMC-VQA).
URL: https://huggingface.co/datasets/xmcmic/PMC-VQA
Licence: CC BY-SA.
Access: open download; nothing is downloaded here.
Citation: Zhang et al., "PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering",
    2023 (arXiv 2305.10415).
Expected tree (either generation or both; an archive must be unpacked)::

    <root>/
      train.csv test.csv test_clean.csv       first generation
      images/<Figure_path>                    images.zip; also figures/
      train_2.csv test_2.csv                  second generation (figures without panels); also
      images_2/<Figure_path>                  train2.csv, images2/

Split policy: the owners' files, by question. `test_clean.csv` is a part of `test.csv`: its rows
    are marked there, not repeated. One figure is one record, one article (the PMC number in the
    figure's name) one group; that one article is in training and test of different files is not
    prevented.
Known (owners' card and loaders): Figure_path, Question, Answer, Choice A .. Choice D, Answer_label;
    `Answer` is spelt `Anwser` in one loader, which also reads Caption. Choices begin with "A:" and
    irregular blanks. Third-party code takes `Answer` of the second generation for a letter. So the
    right option is that of `Answer_label`, else of `Answer` as a letter or as an option's text; a
    row whose two columns name different options is refused. Not known: counts per file.
Not taken into Records: any further column.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_modules.cells import image_of_cell
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.paths import inside
from semihvision.core.record import QA, Attribute, Provenance, Record, Text
from semihvision.core.tables import csv_rows

CARD = Card(
    name="pmc_vqa",
    title="PMC-VQA",
    owner="Zhang et al., Shanghai Jiao Tong University",
    url="https://huggingface.co/datasets/xmcmic/PMC-VQA",
    licence="CC-BY-SA",
    licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
    access="Open download.",
    citation="Zhang et al., PMC-VQA, 2023 (arXiv 2305.10415)",
    owners_caption_flag=True,
    human_text=False,
    api_clause="CC BY-SA sets no rule for hosted models; figures keep their articles' licences.",
    redistribution="yes",
    commercial_use="conditional",
    share_alike=True,
    components=(
        Component(
            name="training questions", patterns=("train.csv",), unit="rows", is_required=False
        ),
        Component(name="test questions", patterns=("test.csv",), unit="rows", is_required=False),
        Component(
            name="checked test questions",
            patterns=("test_clean.csv",),
            unit="rows",
            published=2_000,
            origin="general knowledge",
            is_required=False,
        ),
        Component(
            name="training questions, 2nd",
            patterns=("train_2.csv", "train2.csv"),
            unit="rows",
            published=152_603,
            origin="general knowledge",
            is_required=False,
        ),
        Component(
            name="test questions, 2nd",
            patterns=("test_2.csv", "test2.csv"),
            unit="rows",
            published=33_430,
            origin="general knowledge",
            is_required=False,
        ),
        Component(name="figures", patterns=("images/*", "figures/*", "images_2/*", "images2/*")),
    ),
    notes=(
        "The version of CC BY-SA is not known. Figures come from PMC articles whose own licences "
        "differ. Its questions were written by a language model from the articles' captions."
    ),
)

CHOICES = ("Choice A", "Choice B", "Choice C", "Choice D")
ANSWER_COLUMNS = ("Answer", "Anwser")
LETTERS = "ABCD"
WRITER = Provenance(provenance_id="owners' model", producer="model", model="ChatGPT, by the owners")
"""Origin of the questions (the paper); its version is not known."""

Row = dict[str, str]


class Table(NamedTuple):
    """One of the owners' files, under each of its names, with the folders its figures may be in."""

    names: tuple[str, ...]
    folders: tuple[str, ...]
    split: str


TABLES = {
    "train": Table(("train.csv",), ("images", "figures"), "train"),
    "test": Table(("test.csv",), ("images", "figures"), "test"),
    "test_clean": Table(("test_clean.csv",), ("images", "figures"), "test"),
    "train_2": Table(("train_2.csv", "train2.csv"), ("images_2", "images2", "figures"), "train"),
    "test_2": Table(("test_2.csv", "test2.csv"), ("images_2", "images2", "figures"), "test"),
}

_OPTION = {letter: re.compile(rf"\s*{letter}\s*:\s*") for letter in LETTERS}
_ARTICLE = re.compile(r"(PMC[0-9]+)_")


class _Asked(NamedTuple):
    """One question of a figure and the row it stands in; all questions are held at once."""

    table: str
    file: str
    line: int
    question: str
    options: tuple[str, ...]
    right: int
    caption: str
    is_clean: bool

    @property
    def item(self) -> str:
        """What refused items call the row."""
        return f"line {self.line}"

    def qa(self) -> QA:
        """The question."""
        clean = (Attribute(name="test_clean", value="1"),) if self.is_clean else ()
        return QA(
            qa_id=f"{self.table}/{self.line}",
            question=self.question,
            answer=self.options[self.right],
            options=self.options,
            answer_type="CLOSED",
            attributes=clean,
            image_ids=("figure",),
            split=TABLES[self.table].split,
            provenance_id=WRITER.provenance_id,
        )


def read(
    root: Path, refused: RefusalLog, *, tables: Sequence[str] = tuple(TABLES)
) -> Iterator[Record]:
    """Yields one record per figure with all its questions, in the files' order.

    Args:
        root: Folder in the owners' layout.
        refused: Gets rows that cannot be used, and tables beside usable ones, with the reason.
        tables: Those to read where they are there, names from `TABLES`.

    Raises:
        InputError: No table is there, none is usable, or a name is unknown.
    """
    unknown = sorted(set(tables) - set(TABLES))
    if unknown:
        raise InputError(f"table {', '.join(unknown)}: expected {', '.join(TABLES)}")
    found = [
        (name, path)
        for name, table in TABLES.items()
        if name in tables
        for path in [root / file for file in table.names if (root / file).is_file()][:1]
    ]
    if not found:
        raise InputError(f"{root}: no file {' or '.join(TABLES[name].names[0] for name in tables)}")
    figures: dict[str, list[_Asked]] = {}
    broken: list[InputError] = []
    for name, path in found:
        try:
            _read_table(root, name, path, figures, refused)
        except InputError as error:
            broken.append(error)
            reason = str(error).removeprefix(f"{path}: ")
            refused.add(path.name, reason=reason, kind="unusable_table", file=path.name)
    if len(broken) == len(found):
        raise broken[0]
    for figure in list(figures):
        record = _record(root, figure, figures.pop(figure), refused)
        if record is not None:
            yield record


def _read_table(
    root: Path, name: str, path: Path, figures: dict[str, list[_Asked]], refused: RefusalLog
) -> None:
    """Adds a table's questions to those of their figures."""
    folder = _folder(root, TABLES[name])
    for line, row in csv_rows(path, ("Figure_path", "Question", *CHOICES), refused):
        try:
            asked = _asked(row, name, path.name, line)
            together = figures.setdefault(f"{folder}/{row['Figure_path'].strip()}", [])
            said = (asked.question, asked.options)
            places = (n for n, one in enumerate(together) if (one.question, one.options) == said)
            known = next(places, None)
            if known is None:
                together.append(asked)
            elif asked.is_clean and together[known].table == "test":
                together[known] = together[known]._replace(is_clean=True)
            else:
                raise InputError(
                    "the question is there already; the first is kept", kind="repeated_id"
                )
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=path.name)


def _folder(root: Path, table: Table) -> str:
    for name in table.folders:
        if (root / name).is_dir():
            return name
    raise InputError(
        f"{root}: no folder {' or '.join(table.folders)}; unpack the owners' archive to "
        f"{table.folders[0]}/"
    )


def question_of_row(row: Row, qa_id: str, split: str) -> QA:
    """The question of one row; its right option has a text of its own.

    Raises:
        InputError: Names the column, never its content.
    """
    asked = _asked(row, "test", "", 0).qa()
    return asked.model_copy(update={"qa_id": qa_id, "split": split})


def _asked(row: Row, table: str, file: str, line: int) -> _Asked:
    question, options = row["Question"].strip(), _options(row)
    empty = [name for name in ("Figure_path", "Question") if not row[name].strip()]
    empty += [name for name, text in zip(CHOICES, options, strict=True) if not text]
    if empty:
        raise InputError(f"empty {', '.join(empty)}", kind="invalid_row")
    right = _right(row, options)
    caption = row.get("Caption", "").strip()
    return _Asked(table, file, line, question, options, right, caption, table == "test_clean")


def _options(row: Row) -> tuple[str, ...]:
    """The four texts without their letters, which are taken off only where all four have one."""
    cells = [row[name].strip() for name in CHOICES]
    lettered = [_OPTION[letter].match(cell) for letter, cell in zip(LETTERS, cells, strict=True)]
    if all(lettered):
        cells = [cell[m.end() :] for cell, m in zip(cells, lettered, strict=True) if m]
    return tuple("" if cell.lower() == "nan" else cell for cell in cells)


def _right(row: Row, options: tuple[str, ...]) -> int:
    """Place of the right option; the columns that name one must agree."""
    columns = [name for name in (*ANSWER_COLUMNS, "Answer_label") if row.get(name, "").strip()]
    if not columns:
        raise InputError("no answer in Answer, Anwser or Answer_label", kind="answer")
    named = [_named(row[name].strip(), options) for name in columns]
    places = {place for found in named for place in found}
    if "Answer_label" in columns and len(named[-1]) != 1:
        raise InputError("Answer_label: expected a letter A to D", kind="answer")
    if len(places) != 1:
        what = "no option" if not places else "more than one option"
        raise InputError(f"{', '.join(columns)}: {what} is named; expected one", kind="answer")
    place = places.pop()
    if options.count(options[place]) > 1:
        raise InputError("two options have the right one's text", kind="answer")
    return place


def _named(answer: str, options: tuple[str, ...]) -> set[int]:
    """Places of the options that an answer names: by its letter, its text, or both."""
    if answer in LETTERS:
        return {LETTERS.index(answer)}
    texts = {answer, *(found.sub("", answer, count=1) for found in _OPTION.values())}
    folded = {" ".join(text.casefold().split()) for text in texts}
    return {n for n, option in enumerate(options) if " ".join(option.casefold().split()) in folded}


def _record(root: Path, figure: str, asked: list[_Asked], refused: RefusalLog) -> Record | None:
    folder, _, cell = figure.partition("/")
    try:
        inside(root / folder, cell)
        image = image_of_cell(root, figure, image_id="figure")
    except InputError as error:
        for one in asked:
            refused.add(one.item, reason=str(error), kind=error.kind, file=one.file)
        return None
    article = _ARTICLE.match(cell.rpartition("/")[2])
    captions = list(dict.fromkeys(one.caption for one in asked if one.caption))
    return valid_record(
        asked[0].item,
        refused,
        file=asked[0].file,
        record_id=f"pmc_vqa/{figure}",
        source="pmc_vqa",
        group_id=article[1] if article else figure,
        images=(image,),
        texts=tuple(
            Text(text_id=f"caption {n}", kind="caption", text=text, provenance_id="owner")
            for n, text in enumerate(captions, start=1)
        ),
        qa=tuple(one.qa() for one in asked),
        provenance=(OWNER, WRITER),
        licence=licence_of(CARD),
    )


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.pmc_vqa`."""
    from data_modules.twins.pmc_vqa import write_twin as write

    write(root, cases=cases, seed=seed)
