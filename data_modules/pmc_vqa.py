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

from data_modules.cells import image_of_cell
from data_modules.pmc_vqa_rows import CHOICES, TABLES, WRITER, Asked, Table, asked_of
from data_modules.reading import OWNER, each_table, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.paths import inside
from semihvision.core.record import Record, Text
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

_ARTICLE = re.compile(r"(PMC[0-9]+)_")


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
    found = {
        path: name
        for name, table in TABLES.items()
        if name in tables
        for path in [root / file for file in table.names if (root / file).is_file()][:1]
    }
    if not found:
        raise InputError(f"{root}: no file {' or '.join(TABLES[name].names[0] for name in tables)}")
    figures: dict[str, list[Asked]] = {}
    for figure, asked in each_table(
        root, list(found), refused, lambda path: _questions(root, found[path], path, refused)
    ):
        _add(asked, figures.setdefault(figure, []), refused)
    for figure in list(figures):
        record = _record(root, figure, figures.pop(figure), refused)
        if record is not None:
            yield record


def _questions(
    root: Path, name: str, path: Path, refused: RefusalLog
) -> Iterator[tuple[str, Asked]]:
    """The questions of a table, each with the path of its figure."""
    folder = _folder(root, TABLES[name])
    for line, row in csv_rows(path, ("Figure_path", "Question", *CHOICES), refused):
        try:
            asked = asked_of(row, name, path.name, line)
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=path.name)
        else:
            yield f"{folder}/{row['Figure_path'].strip()}", asked


def _add(asked: Asked, together: list[Asked], refused: RefusalLog) -> None:
    """Adds a question to those of its figure, or a mark where `test_clean.csv` repeats it.

    Of a question of both training and test the latter is kept.
    """
    said = (asked.question, asked.options)
    places = (n for n, one in enumerate(together) if (one.question, one.options) == said)
    known = next(places, None)
    if known is None:
        together.append(asked)
        return
    first = together[known]
    if asked.is_clean and first.table == "test" and not first.is_clean:
        together[known] = first._replace(is_clean=True)
    elif (TABLES[first.table].split, TABLES[asked.table].split) == ("train", "test"):
        together[known] = asked
        reason = "the question is also one of the test; it is not trained on"
        refused.add(first.item, reason=reason, kind="also_in_test", file=first.file)
    else:
        reason = "the question is there already; the first is kept"
        refused.add(asked.item, reason=reason, kind="repeated_id", file=asked.file)


def _folder(root: Path, table: Table) -> str:
    for name in table.folders:
        if (root / name).is_dir():
            return name
    raise InputError(
        f"{root}: no folder {' or '.join(table.folders)}; unpack the owners' archive to "
        f"{table.folders[0]}/"
    )


def _record(root: Path, figure: str, asked: list[Asked], refused: RefusalLog) -> Record | None:
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
