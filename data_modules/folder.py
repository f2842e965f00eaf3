"""A hospital's own bare images: nothing but files, the unannotated path.

Owner: whoever holds the folder.
URL: none.
Licence: not stated; the institution's own rules.
Access: local files only; nothing is downloaded here.
Citation: none.
Expected tree::

    <root>/
      **/<any name>.png|.jpg|.jpeg      any depth

Split policy: no split of the owner. The first folder below the root is the group (one folder a
    patient or case); an image directly in the root is a group of its own.
Known: nothing but the pixels. Names of files and folders may identify patients: they stand in the
    Records (as ids and paths) and in refused lists, so give pseudonyms before a run. Hidden files
    and folders are left alone; a file of another type is refused by name, not passed over.
"""

from collections.abc import Iterator
from pathlib import Path

from data_modules.reading import licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.record import Record

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

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per image file, in the order of their paths.

    Args:
        root: Folder of images, nested or not.
        refused: Gets files that are no readable PNG or JPEG, with the reason.

    Raises:
        InputError: No such folder, or no file in it.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not _hidden(path, root))
    if not paths:
        raise InputError(f"{root}: no files; expected PNG or JPEG images at any depth")
    for path in paths:
        relative = path.relative_to(root).as_posix()
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
