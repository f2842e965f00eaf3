"""DeepLesion: CT key slices with boxes and diameters that radiologists marked.

Owner: NIH Clinical Center (Yan et al.).
URL: https://nihcc.app.box.com/v/DeepLesion
Licence: CC BY 4.0.
Access: open download; nothing is downloaded here.
Citation: Yan et al., "DeepLesion: automated mining of large-scale lesion annotations and universal
    lesion detection with deep learning", Journal of Medical Imaging 5 (2018) 036501.
Expected tree::

    <root>/
      DL_info.csv                                                 18 columns, one row a lesion
      Images_png/<patient>_<study>_<series>/<slice, 3 digits>.png 16 bit, HU = value - 32768

Split policy: the owners' `Train_Val_Test` (1, 2, 3); a patient is one group.
Known (read in 158 real rows, third-party loader): cells with several values are one quoted string;
    `File_name` 000089_01_01_037.png is the file 000089_01_01/037.png; several rows may share a key
    slice (where their windows differ, the slice is one image per window); `Slice_range` names
    neighbours; `Coarse_lesion_type` 1-8, -1 not known, as in all training rows that were read. No
    text. The files hold no orientation; that they are shown in radiological convention is general
    knowledge and not used.
Images of a record: the key slice first, then its neighbours on both sides, those in `Slice_range`
    whose files are there (part of the archives may be), in the first window. The boxes are on the
    key slice. The authors of SemiHVision used key slices alone: `neighbours: 0`.
Not taken into Records: the rest of `Slice_range`, `Normalized_lesion_location`, `Possibly_noisy`
    where it is 0, `Series_ID` beyond the path.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from data_modules.deeplesion_rows import (
    BODY_PARTS,
    LESION_TYPES,
    SPLITS,
    Lesion,
    Row,
    image_path,
    lesions_by_slice,
    number_of,
    numbers_of,
)
from data_modules.reading import licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.record import ImageRef, Label, Record, Region
from semihvision.core.tables import required_file

CARD = Card(
    name="deeplesion",
    title="DeepLesion",
    owner="NIH Clinical Center",
    url="https://nihcc.app.box.com/v/DeepLesion",
    licence="CC-BY-4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    access="Open download.",
    citation="Yan et al., Journal of Medical Imaging 5 (2018) 036501",
    owners_caption_flag=True,
    human_text=False,
    api_clause="CC BY 4.0 sets no rule for hosted models; de-identified patients' images.",
    redistribution="yes",
    commercial_use="yes",
    components=(
        Component(
            name="table",
            patterns=("DL_info.csv",),
            unit="rows",
            published=32_735,
            origin="general knowledge",
        ),
        Component(
            name="slices",
            patterns=("Images_png/*/*.png",),
            published=928_020,
            origin="general knowledge",
        ),
    ),
    notes="The licence is the one in the SemiHVision authors' table.",
)

HU_OFFSET = -32768
_PNG = b"\x89PNG\r\n\x1a\n"


def read(root: Path, refused: RefusalLog, *, neighbours: int = 1) -> Iterator[Record]:
    """Yields one record per key slice with all lesions marked on it, in the table's order.

    Args:
        root: Folder in the owners' layout.
        refused: Gets rows and slices that cannot be used, with the reason. An unusable neighbour is
            refused by itself.
        neighbours: Slices on either side of the key slice that are taken, too; 0 for none.

    Raises:
        InputError: The table is missing, or one of its columns is; or neighbours < 0.
    """
    if neighbours < 0:
        raise InputError(f"neighbours {neighbours}: expected 0 or more slices on either side")
    table = required_file(root, "DL_info.csv")
    for lesions in lesions_by_slice(table, refused):
        try:
            record = _record(root, [row for _, row in lesions])
        except InputError as error:
            for line, _ in lesions:
                refused.add(f"line {line}", reason=str(error), kind=error.kind, file=table.name)
        else:
            beside = tuple(_neighbours(root, lesions[0], neighbours, refused))
            yield record.edited(images=record.images + beside) if beside else record


def _record(root: Path, rows: list[Row]) -> Record:
    first = rows[0]
    file_name = first["File_name"]
    for column in ("Patient_index", "Train_Val_Test", "Spacing_mm_px_", "Image_size"):
        if len({row[column] for row in rows}) > 1:
            raise InputError(
                f"{file_name}: its rows disagree in {column}", kind="contradicting_rows"
            )
    windows = list(dict.fromkeys(row["DICOM_windows"] for row in rows))
    image_ids = {
        w: "key slice" + (f", window {n}" if n > 1 else "") for n, w in enumerate(windows, 1)
    }
    types = [int(number_of(row, "Coarse_lesion_type")) for row in rows]
    parts = {BODY_PARTS.get(found, "") for found in types}
    refused = RefusalLog()
    record = valid_record(
        file_name,
        refused,
        file="DL_info.csv",
        record_id=f"deeplesion/{file_name.removesuffix('.png')}",
        source="deeplesion",
        split=SPLITS[first["Train_Val_Test"]],
        group_id=f"patient {first['Patient_index']}",
        images=tuple(
            _image(root, file_name, {**first, "DICOM_windows": window}, image_id)
            for window, image_id in image_ids.items()
        ),
        regions=tuple(
            _region(place, row, image_ids[row["DICOM_windows"]])
            for place, row in enumerate(rows, start=1)
        ),
        labels=tuple(_labels(rows, types)),
        modality="ct",
        body_part=parts.pop() if len(parts) == 1 else "",
        licence=licence_of(CARD),
    )
    if record is None:
        raise InputError(refused.items[0].reason, kind="invalid_record")
    return record


def _image(root: Path, file_name: str, row: Row, image_id: str) -> ImageRef:
    spacing = numbers_of(row, "Spacing_mm_px_", 3)
    low, high = numbers_of(row, "DICOM_windows", 2)
    path = image_path(file_name)
    image = probe_image(
        root,
        path,
        image_id=image_id,
        axis="axial",
        index=int(number_of(row, "Key_slice_index")),
        rescale_intercept=float(HU_OFFSET),
        window_center=(low + high) / 2,
        window_width=high - low,
        spacing_mm=(spacing[0], spacing[1]),
    )
    if not _is_16_bit(root / path):
        raise InputError(
            f"{path}: 8-bit image, expected 16 bit (HU = value - 32768); a screen copy cannot be "
            "windowed",
            kind="image_format",
        )
    if [image.width, image.height] != numbers_of(row, "Image_size", 2):
        raise InputError(
            f"{path}: {image.width} x {image.height} pixels, expected those of Image_size",
            kind="image_size",
        )
    return image


def _neighbours(root: Path, lesion: Lesion, reach: int, refused: RefusalLog) -> Iterator[ImageRef]:
    """The slices next to a key slice that are there, from the lowest to the highest index."""
    line, row = lesion
    first, last = numbers_of(row, "Slice_range", 2)
    key = int(number_of(row, "Key_slice_index"))
    series = row["File_name"].rpartition("_")[0]
    for index in range(max(key - reach, math.ceil(first)), min(key + reach, int(last)) + 1):
        name = f"{series}_{index:03d}.png"
        path = root / image_path(name)
        if index == key or not (path.is_symlink() or path.exists()):
            continue
        image_id = f"slice {index - key:+d}"
        try:
            yield _image(root, name, {**row, "Key_slice_index": str(index)}, image_id)
        except InputError as error:
            item = f"line {line}, {image_id}"
            refused.add(item, reason=str(error), kind=error.kind, file="DL_info.csv")


def _is_16_bit(path: Path) -> bool:
    """By the header of a PNG, whose byte 24 is the bit depth; nothing else is asked so often."""
    with path.open("rb") as file:
        head = file.read(25)
    return head.startswith(_PNG) and head[24] == 16


def _region(number: int, row: Row, image_id: str) -> Region:
    x0, y0, x1, y1 = numbers_of(row, "Bounding_boxes", 4)
    points = numbers_of(row, "Measurement_coordinates", 8)
    kind = int(number_of(row, "Coarse_lesion_type"))
    return Region(
        region_id=f"lesion {number}",
        image_id=image_id,
        box_xyxy=(x0, y0, x1, y1),
        lines_xyxy=(
            (points[0], points[1], points[2], points[3]),
            (points[4], points[5], points[6], points[7]),
        ),
        label=f"{LESION_TYPES[kind]} lesion" if kind in LESION_TYPES else "lesion",
        drawn_by="expert",
    )


def _labels(rows: list[Row], types: list[int]) -> Iterator[Label]:
    for number, (row, kind) in enumerate(zip(rows, types, strict=True), start=1):
        if kind in LESION_TYPES:
            yield _label(f"type {number}", "coarse_lesion_type", LESION_TYPES[kind], number)
        if row["Possibly_noisy"] == "1":
            yield _label(f"noisy {number}", "possibly_noisy", "1", number)
    for name, column in (("sex", "Patient_gender"), ("age", "Patient_age")):
        value = rows[0][column].strip()
        if value and value.lower() != "nan":
            yield _label(name, name, value)


def _label(label_id: str, name: str, value: str, lesion: int | None = None) -> Label:
    regions = (f"lesion {lesion}",) if lesion else ()
    return Label(label_id=label_id, name=name, value=value, system="DeepLesion", region_ids=regions)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.deeplesion`."""
    from data_modules.twins.deeplesion import write_twin as write

    write(root, cases=cases, seed=seed)
