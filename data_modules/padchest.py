"""PadChest: chest X-rays with Spanish reports and labels from Hospital San Juan, Alicante.

Owner: Medical Imaging Databank of the Valencia Region (BIMCV).
URL: https://bimcv.cipf.es/bimcv-projects/padchest/
Licence: BIMCV research use agreement.
Access: request form at the URL, after accepting the agreement; nothing is downloaded here.
Citation: Bustos et al., "PadChest: A large chest x-ray image dataset with multi-label annotated
    reports", Medical Image Analysis 66 (2020) 101797.
Expected tree::

    <root>/
      PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv   36 columns, plain or .csv.gz
      <ImageDir>/<ImageID>                                   (unpacked image archives)

Split policy: the owner gives no split; ours never cut through a PatientID.
Known (owners' README, third-party loaders): the columns, read by name, with `LabelCUIS` for
    `labelCUIS` and `ExposureTime_DICOM` for `ExposureTime` where a release spells them so; `Report`
    is Spanish; `Labels` and `Localizations` are lists in Python's spelling with stray blanks, some
    are NaN or `['']` (no label is made of them); two rows have no PatientID and are refused; the
    files in `KNOWN_CORRUPT` do not decode in the release.
Not known: whether the 16-bit PNG (general knowledge) hold the DICOM's stored values. Where no pixel
    exceeds `BitsStored_DICOM`, they may, and the table's window is used; else the file was
    rescaled, and the window is made from its values. `MONOCHROME1` is inverted, for the owner does
    not say that the files are. `ImageRef.reading` tells which.
A record is a study: its images, its report (all of them, where rows differ), and its labels, each
    with the images whose row states it; `Label.system` says who labelled: a physician or a network.
Not taken into Records: CUIs, `LabelsLocalizationsBySentence`, exposure and scanner, the dates (the
    age in years is made from the years of study and birth).
"""

import math
import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from data_modules.cells import text_list
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.images import probe_image
from semihvision.core.imaging.refusals import constant
from semihvision.core.imaging.windowing import window_of_values
from semihvision.core.record import Attribute, ImageRef, Label, Record, Text
from semihvision.core.tables import csv_rows, required_file

CARD = Card(
    name="padchest",
    title="PadChest",
    owner="Medical Imaging Databank of the Valencia Region (BIMCV)",
    url="https://bimcv.cipf.es/bimcv-projects/padchest/",
    licence="BIMCV research use agreement",
    licence_url="https://bimcv.cipf.es/bimcv-projects/padchest/padchest-dataset-research-use-agreement/",
    access="Request form after accepting the agreement.",
    citation="Bustos et al., PadChest, Medical Image Analysis 66 (2020) 101797",
    owners_caption_flag=True,
    human_text=True,
    api_conditions=("agreement_allows",),
    api_clause="The data are lent under an agreement that you signed; it decides about others.",
    redistribution="no",
    commercial_use="no",
    components=(
        Component(
            name="table",
            patterns=(
                "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv",
                "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",
            ),
            unit="rows",
            published=160_868,
            origin="general knowledge",
        ),
        Component(
            name="radiographs", patterns=("*/*.png",), published=160_868, origin="general knowledge"
        ),
    ),
    notes=(
        "What the agreement says about passing data on, commercial use and hosted models was not "
        "read; the strict reading here is inferred from its being a research use agreement."
    ),
)

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = (
    "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth",
    "PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric",
    "Modality_DICOM", "Manufacturer_DICOM", "PhotometricInterpretation_DICOM",
    "PixelRepresentation_DICOM", "PixelAspectRatio_DICOM", "SpatialResolution_DICOM",
    "BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM", "Columns_DICOM",
    "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM", "ExposureTime",
    "RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel", "Labels", "Localizations",
    "LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS",
)  # fmt: skip
"""All of them, in the order of the release; those of `_USED` must be there."""
SPELLINGS = {"ExposureTime_DICOM": "ExposureTime", "LabelCUIS": "labelCUIS"}
"""Spelling of the owners' README -> of the release."""

KNOWN_CORRUPT = frozenset(
    f"2168401113669640{name}.png"
    for name in (
        "12283393834152009033102258826_00-059-087", "12339356563862009072111404053_00-043-192",
        "12373310883942009117084022290_00-064-025", "12373310883942009152114636712_00-102-045",
        "12373310883942009170084120009_00-097-074", "12487858717522009280135853083_00-075-001",
        "12558082906712009327122220177_00-102-064", "12819207061112010281134410801_00-129-131",
        "12819207061112010306085429121_04-020-102", "12819207061112010307142602253_04-014-084",
        "12819207061112010315104455352_04-024-184", "12959786098432011033083840143_00-176-115",
        "12989926673512011074122523403_00-163-058", "12989926673512011083134050913_00-168-009",
        "12989926673512011151082430686_00-157-045", "13076187734852011291090445391_00-196-188",
        "13590140476722013043111952381_02-065-198", "13590140476722013058110301622_02-056-111",
        "13686042548532013208193054515_02-026-007", "13829543166512013353113303615_02-092-190",
        "13962490064942014134093945580_01-178-104",
    )
)  # fmt: skip
"""Files that torchxrayvision leaves out because they do not decode."""

_USED = (
    "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth",
    "PatientSex_DICOM", "Projection", "PhotometricInterpretation_DICOM", "BitsStored_DICOM",
    "WindowCenter_DICOM", "WindowWidth_DICOM", "Report", "MethodLabel", "Labels", "Localizations",
)  # fmt: skip
_FORMS = {
    "ImageID": (r"[\w. -]{1,120}\.png", "a name that ends with .png"),
    "ImageDir": (r"[0-9]{1,3}", "a number of at most three digits"),
    "StudyID": (r"[\w.-]{1,80}", "an id without blanks"),
    "PatientID": (r"[\w.-]{1,80}", "an id without blanks"),
    "StudyDate_DICOM": (r"([0-9]{8}(\.0)?)?", "YYYYMMDD or nothing"),
    "PatientBirth": (r"([0-9]{4}(\.0)?)?", "a year or nothing"),
    "BitsStored_DICOM": (r"([0-9]{1,2}(\.0)?)?", "a number of bits or nothing"),
}
_NOTHING = ("", "nan", "none")

Row = dict[str, str]


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per study, in the order of the table.

    An unusable image is refused by itself; the study goes on with the others.

    Args:
        root: Folder in the owners' layout.
        refused: Gets rows that cannot be used, with the reason.

    Raises:
        InputError: There is no table, or one of its columns is missing.
    """
    table = required_file(root, TABLE, TABLE + ".gz")
    for study, rows in _studies(table, refused).items():
        patients = {row["PatientID"] for _, row in rows}
        images = []
        for line, row in rows:
            try:
                if len(patients) > 1:
                    reason = "the rows of its StudyID name different PatientIDs"
                    raise InputError(reason, kind="contradicting_rows")
                images.append((_image(root, row), row))
            except InputError as error:
                refused.add(f"line {line}", reason=str(error), kind=error.kind, file=table.name)
        if not images:
            continue
        record = valid_record(
            f"line {rows[0][0]}",
            refused,
            file=table.name,
            record_id=f"padchest/{study}",
            source="padchest",
            group_id=f"patient {patients.pop()}",
            images=tuple(image for image, _ in images),
            labels=tuple(_labels(images)),
            modality="xray",
            body_part="thorax",
            texts=tuple(_texts(images)),
            provenance=(OWNER,),
            licence=licence_of(CARD),
        )
        if record is not None:
            yield record


def _studies(table: Path, refused: RefusalLog) -> dict[str, list[tuple[int, Row]]]:
    """The used cells of all sound rows by study; equal cells are kept once."""
    studies: dict[str, list[tuple[int, Row]]] = {}
    seen: set[str] = set()
    for line, cells in csv_rows(table, _USED, refused, spellings=SPELLINGS):
        row = {name: sys.intern(_stated(cells[name])) for name in _USED}
        try:
            _check(row)
            if row["ImageID"] in seen:
                raise InputError("this ImageID was already used", kind="repeated_id")
        except InputError as error:
            refused.add(f"line {line}", reason=str(error), kind=error.kind, file=table.name)
            continue
        seen.add(row["ImageID"])
        studies.setdefault(row["StudyID"], []).append((line, row))
    return studies


def _stated(cell: str) -> str:
    """A cell without blanks around it; empty where it says nothing."""
    cell = cell.strip()
    return "" if cell.lower() in _NOTHING else cell


def _check(row: Row) -> None:
    for column, (form, expected) in _FORMS.items():
        if not re.fullmatch(form, row[column]):
            raise InputError(f"{column}: expected {expected}", kind="invalid_row")
    if row["StudyDate_DICOM"]:
        try:
            date.fromisoformat(row["StudyDate_DICOM"][:8])
        except ValueError:
            raise InputError("StudyDate_DICOM: no such day", kind="invalid_row") from None
    for column in ("Labels", "Localizations"):
        _list(row, column)
    center, width = (_number(row, f"Window{name}_DICOM") for name in ("Center", "Width"))
    if (center is None) != (width is None) or (width is not None and width <= 0):
        raise InputError(
            "WindowCenter_DICOM, WindowWidth_DICOM: expected both or none, and a width above 0",
            kind="invalid_row",
        )


def _list(row: Row, column: str) -> list[str]:
    try:
        return list(dict.fromkeys(text_list(row[column])))
    except InputError as error:
        raise InputError(f"{column}: {error}", kind=error.kind) from None


def _number(row: Row, column: str) -> float | None:
    """The number of a cell, the first of several ones; None where it is empty."""
    first = re.split(r"[,\\]", row[column].strip("[]()"))[0].strip()
    if not first:
        return None
    try:
        value = float(first)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{column}: expected a number", kind="invalid_row")
    return value


def _image(root: Path, row: Row) -> ImageRef:
    path = f"{row['ImageDir']}/{row['ImageID']}"
    try:
        found = probe_image(root, path, image_id=row["ImageID"].removesuffix(".png"))
    except InputError as error:
        if error.kind == "unreadable_image" and row["ImageID"] in KNOWN_CORRUPT:
            reason = f"{error}; known to be corrupt in the owner's release"
            raise InputError(reason, kind="known_corrupt") from None
        raise
    return found.model_copy(update={"view": row["Projection"], **_display(root / path, path, row)})


def _display(path: Path, name: str, row: Row) -> dict[str, Any]:
    """How the pixels are shown: the window, and black for white in MONOCHROME1."""
    import numpy as np

    with Image.open(path) as opened:
        deep = opened.mode.startswith("I")
        values = np.asarray(opened, dtype=np.int32) if deep else np.zeros(0)
    photometric = row["PhotometricInterpretation_DICOM"]
    facts = {"photometric": photometric} if photometric else {}
    window: tuple[float, float] | None = None
    if deep:
        window, facts["window"] = _window(values, row)
        if window is None:
            raise constant(name)
    if photometric == "MONOCHROME1":
        facts["inverted"] = "yes"
        window = window or (127.5, 255.0)
    reading = tuple(Attribute(name=key, value=value) for key, value in facts.items())
    if window is None:
        return {"reading": reading}
    sign = -1.0 if photometric == "MONOCHROME1" else 1.0
    return {
        "rescale_slope": sign,
        "window_center": sign * window[0],
        "window_width": window[1],
        "reading": reading,
    }


def _window(values: Any, row: Row) -> tuple[tuple[float, float] | None, str]:
    center, width = _number(row, "WindowCenter_DICOM"), _number(row, "WindowWidth_DICOM")
    bits = _number(row, "BitsStored_DICOM")
    if center is not None and width is not None and bits and values.max() < 2**bits:
        return (center, width), "table"
    return window_of_values(values), "percentiles of the image"


def _labels(images: list[tuple[ImageRef, Row]]) -> Iterator[Label]:
    """Each label and localization once a labeller, with the images whose rows state it."""
    stated: dict[tuple[str, str, str], list[str]] = {}
    for image, row in images:
        system = f"PadChest, {row['MethodLabel'] or 'not stated by whom'}"
        for name in _list(row, "Labels"):
            stated.setdefault((system, name, "1"), []).append(image.image_id)
        for place in _list(row, "Localizations"):
            stated.setdefault((system, "localization", place), []).append(image.image_id)
    for number, ((system, name, value), image_ids) in enumerate(stated.items(), start=1):
        yield Label(
            label_id=f"label {number}",
            name=name,
            value=value,
            system=system,
            image_ids=tuple(image_ids),
        )
    first = images[0][1]
    years = [int(first[name][:4]) for name in ("StudyDate_DICOM", "PatientBirth") if first[name]]
    if len(years) == 2 and years[0] >= years[1]:
        yield Label(label_id="age", name="age", value=str(years[0] - years[1]), system="PadChest")
    if first["PatientSex_DICOM"]:
        yield Label(label_id="sex", name="sex", value=first["PatientSex_DICOM"], system="PadChest")


def _texts(images: list[tuple[ImageRef, Row]]) -> Iterator[Text]:
    """The reports; one that is that of all images is about the whole study."""
    reports: dict[str, list[str]] = {}
    for image, row in images:
        if row["Report"]:
            reports.setdefault(row["Report"], []).append(image.image_id)
    for number, (report, image_ids) in enumerate(reports.items(), start=1):
        yield Text(
            text_id="report" + (f" {number}" if number > 1 else ""),
            kind="report",
            text=report,
            language="es",
            image_ids=() if len(image_ids) == len(images) else tuple(image_ids),
            provenance_id=OWNER.provenance_id,
        )


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.padchest`."""
    from data_modules.twins.padchest import write_twin as write

    write(root, cases=cases, seed=seed)
