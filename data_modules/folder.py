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

from numpy.random import default_rng

from data_modules.phantoms import design, draw
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
    """Writes bare phantoms: one folder a case, one or two images in each, PNG and JPEG in turn.

    Args:
        root: Folder to write to.
        cases: Number of folders.
        seed: Decides everything.
    """
    random = default_rng([seed, 2])
    for index, factors in enumerate(design(cases, random)):
        folder = root / f"case{index + 1:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        for view in range(1 + index % 2):
            phantom = draw(factors, [seed, 2, index, view])
            phantom.image().save(folder / f"image{view + 1}{IMAGE_SUFFIXES[view]}")
