"""A hospital's own folder: images, and what a table of the hospital's own says about them.

Owner: whoever holds the folder.
URL: none.
Licence: not stated; the institution's own rules.
Access: local files only; nothing is downloaded here.
Citation: none.
Expected tree::

    <root>/
      **/<any name>.png|.jpg|.jpeg|.dcm      any depth
      columns.yaml                           what the table's columns mean, where there is a table
      <table>                                CSV or JSON lines, named in columns.yaml

Split policy: the table's, else none. The table's group, else the first folder below the root (one
    folder a patient or case), is the group; an image directly in the root is a group of its own.
    Images that the table does not name are read as bare images, the unannotated path.
Known: nothing but the pixels and what `columns.yaml` (`data_modules.column_map`) names. Names of
    files and folders may identify patients: they stand in the Records (as ids and paths) and in
    refused lists, so give pseudonyms before a run; the same holds for the columns `record` and
    `group`. Hidden files and folders are left alone; a file of another type is refused by name,
    not passed over. A DICOM file of several frames and NIfTI volumes are refused: give slices.
"""

from collections.abc import Iterator
from pathlib import Path

from data_modules.cells import image_of_cell
from data_modules.column_map import ColumnMap, read_column_map
from data_modules.folder_rows import Row, rows_by_record
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.paths import inside
from semihvision.core.record import QA, ImageRef, Label, Record, Text

CARD = Card(
    name="folder",
    title="A folder of your own images",
    owner="You or your institution",
    url="",
    licence="institution's own rules",
    access="Your own files.",
    citation="None",
    human_text=False,
    api_conditions=(
        "institution_approval",
        "zero_retention",
        "no_training",
        "no_human_review",
    ),
    api_clause="Images of patients leave an institution only with its approval.",
    redistribution="no",
    commercial_use="not stated",
    notes="The conditions are this project's choice for images whose terms nobody has stated.",
)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
COLUMNS_FILE = "columns.yaml"


def read(root: Path, refused: RefusalLog, *, columns: str = COLUMNS_FILE) -> Iterator[Record]:
    """Yields the table's records in its order, then one record per bare image in that of its path.

    Args:
        root: Folder of images, nested or not.
        refused: Gets rows and files that cannot be used, with the reason.
        columns: Path of the column map below the root. Without the one of the default name there
            is no table.

    Raises:
        InputError: No such folder, no file in it, or a column map or table that cannot be used.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    own: set[str] = set()
    if columns != COLUMNS_FILE or (root / columns).is_file():
        mapped = read_column_map(inside(root, columns))
        table = inside(root, mapped.table)
        if not table.is_file():
            raise InputError(f"{columns}: no table {mapped.table} below {root}")
        own = {columns, mapped.table}
        yield from _of_table(root, table, mapped, refused, own)
    yield from _bare(root, own, refused)


def _of_table(
    root: Path, table: Path, mapped: ColumnMap, refused: RefusalLog, own: set[str]
) -> Iterator[Record]:
    """Records of the table; `own` gets every path that it names."""
    for name, rows in rows_by_record(table, mapped, refused, own).items():
        record = _record(root, name, rows, mapped, refused, table.name)
        if record is not None:
            yield record


def _record(
    root: Path, name: str, rows: list[Row], mapped: ColumnMap, refused: RefusalLog, file: str
) -> Record | None:
    images: dict[str, ImageRef] = {}
    kept = []
    for row in rows:
        try:
            if row.path not in images:
                found = image_of_cell(root, row.path, image_id=f"image {len(images) + 1}")
                images[row.path] = found
            kept.append(row)
        except InputError as error:
            refused.add(row.item, reason=str(error), kind=error.kind, file=file)
    if not kept:
        return None
    group, split, modality, body_part = kept[0].about
    return valid_record(
        kept[0].item,
        refused,
        file=file,
        record_id=f"folder/{name}",
        source="folder",
        split=split,
        group_id=group,
        images=tuple(images.values()),
        modality=modality,
        body_part=body_part,
        texts=tuple(_texts(kept, images, mapped)),
        labels=tuple(_labels(kept, images, mapped)),
        qa=tuple(
            QA(
                qa_id=row.item,
                question=mapped.cell(row.cells, mapped.question),
                answer=mapped.cell(row.cells, mapped.answer),
                image_ids=(images[row.path].image_id,),
                provenance_id=OWNER.provenance_id,
            )
            for row in kept
            if mapped.cell(row.cells, mapped.question)
        ),
        provenance=(OWNER,),
        licence=licence_of(CARD),
    )


def _texts(rows: list[Row], images: dict[str, ImageRef], mapped: ColumnMap) -> Iterator[Text]:
    for kind, column in mapped.texts.items():
        for number, (text, shown) in enumerate(_said(rows, images, mapped, column), start=1):
            yield Text(
                text_id=f"{kind} {number}",
                kind=kind,
                text=text,
                language=mapped.language,
                image_ids=shown,
                provenance_id=OWNER.provenance_id,
            )


def _labels(rows: list[Row], images: dict[str, ImageRef], mapped: ColumnMap) -> Iterator[Label]:
    for name, column in mapped.labels.items():
        for number, (value, shown) in enumerate(_said(rows, images, mapped, column), start=1):
            label_id = f"{name} {number}"
            yield Label(label_id=label_id, name=name, value=value, system="table", image_ids=shown)


def _said(
    rows: list[Row], images: dict[str, ImageRef], mapped: ColumnMap, column: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each different cell of a column once, with the images it is about; none if about all."""
    about: dict[str, list[str]] = {}
    for row in rows:
        text = mapped.cell(row.cells, column)
        if text:
            about.setdefault(text, []).append(images[row.path].image_id)
    for text, shown in about.items():
        yield (
            text,
            ()
            if set(shown) == {one.image_id for one in images.values()}
            else tuple(dict.fromkeys(shown)),
        )


def _bare(root: Path, own: set[str], refused: RefusalLog) -> Iterator[Record]:
    """Images that no table names."""
    # A link to nowhere, or to a folder, is no file; it is refused rather than passed over.
    found = (path for path in root.rglob("*") if path.is_file() or path.is_symlink())
    files = sorted(path for path in found if not _hidden(path, root))
    if not files:
        raise InputError(f"{root}: no files; expected PNG or JPEG images at any depth")
    for path in files:
        relative = path.relative_to(root).as_posix()
        if relative in own:
            continue
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            reason = f"suffix {path.suffix!r}; readable: {', '.join(IMAGE_SUFFIXES)}"
            refused.add(relative, reason=reason, kind="image_format", file=relative)
            continue
        try:
            image = probe_image(root, relative, image_id="image")
        except InputError as error:
            refused.add(relative, reason=str(error), kind=error.kind, file=relative)
            continue
        record = valid_record(
            relative,
            refused,
            file=relative,
            record_id=f"folder/{relative}",
            source="folder",
            group_id=relative.split("/")[0],
            images=(image,),
            licence=licence_of(CARD),
        )
        if record is not None:
            yield record


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.folder`."""
    from data_modules.twins.folder import write_twin as write

    write(root, cases=cases, seed=seed)
