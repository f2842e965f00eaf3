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
    files in `padchest_images.KNOWN_CORRUPT` do not decode in the release.
Not known: whether the 16-bit PNG (general knowledge) hold the DICOM's stored values. Where no pixel
    exceeds `BitsStored_DICOM`, they may, and the table's window is used; else the file was
    rescaled, and the window is made from its values. `MONOCHROME1` is inverted, for the owner does
    not say that the files are. `ImageRef.reading` tells which.
A record is a study: its images, its report (all of them, where rows differ), and its labels, each
    with the images whose row states it; `Label.system` says who labelled: a physician or a network.
Not taken into Records: CUIs, `LabelsLocalizationsBySentence`, exposure and scanner, the dates (the
    age in years is made from the years of study and birth).
"""

from collections.abc import Iterator
from pathlib import Path

from data_modules.padchest_images import image_of
from data_modules.padchest_rows import TABLE, Row, list_of, studies_of
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import ImageRef, Label, Record, Text
from semihvision.core.tables import required_file

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
    for study, rows in studies_of(table, refused).items():
        patients = {row["PatientID"] for _, row in rows}
        images = []
        for line, row in rows:
            try:
                if len(patients) > 1:
                    reason = "the rows of its StudyID name different PatientIDs"
                    raise InputError(reason, kind="contradicting_rows")
                images.append((image_of(root, row), row))
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


def _labels(images: list[tuple[ImageRef, Row]]) -> Iterator[Label]:
    """Each label and localization once a labeller, with the images whose rows state it."""
    stated: dict[tuple[str, str, str], list[str]] = {}
    for image, row in images:
        system = f"PadChest, {row['MethodLabel'] or 'not stated by whom'}"
        for name in list_of(row, "Labels"):
            stated.setdefault((system, name, "1"), []).append(image.image_id)
        for place in list_of(row, "Localizations"):
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
