"""The twin of MIMIC-CXR: drawn chest radiographs with reports in the owners' form."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from numpy.random import Generator, default_rng

from data_modules.mimic_cxr import study_folder
from data_modules.mimic_tables import FINDINGS, LABELLERS, METADATA_COLUMNS, table_names
from data_modules.phantom_words import lesions, other_side, sentence
from data_modules.phantoms import Factors, design, draw

Row = dict[str, str]


class Tables(NamedTuple):
    """Rows of the owners' tables; both labellers say the same."""

    metadata: list[Row]
    splits: list[Row]
    labels: list[Row]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes studies of drawn chest radiographs with reports in the owners' form.

    Every fourth study shows no nodule. Reports come with both sections, with one of them, or with
    none; label tables are gzip-compressed, metadata and split plain.

    Args:
        root: Folder to write to.
        cases: Number of studies, one patient each.
        seed: Decides everything.
    """
    write_tables(root, draw_studies(root, cases, seed))


def draw_studies(root: Path, cases: int, seed: int) -> Tables:
    """Draws images and reports of all studies; every second study has two images."""
    random = default_rng([seed, 5])
    tables = Tables([], [], [])
    for index, drawn in enumerate(design(cases, random, ("lungs",))):
        factors = drawn._replace(number=0) if index % 4 == 3 else drawn
        subject, study = str(10000001 + index), str(50000001 + index)
        folder = root / study_folder(subject, study)
        folder.mkdir(parents=True, exist_ok=True)
        folder.with_suffix(".txt").write_text(_report(factors, index), encoding="utf-8")
        split = ("validate", "test")[index % 2] if index % 8 > 5 else "train"
        for number, view in enumerate(("PA", "AP")[: 1 + index % 2]):
            dicom_id = _dicom_id(random)
            image = draw(factors, [seed, 5, index, number]).image()
            image.save(folder / f"{dicom_id}.jpg", quality=95)
            about = {"dicom_id": dicom_id, "subject_id": subject, "study_id": study}
            size = {"Rows": str(image.height), "Columns": str(image.width)}
            tables.metadata.append({**about, "ViewPosition": view, **size})
            tables.splits.append({**about, "split": split})
        named = {"No Finding": "1.0"} if factors.number == 0 else {"Lung Lesion": "1.0"}
        tables.labels.append({"subject_id": subject, "study_id": study, **named})
    return tables


def write_tables(root: Path, tables: Tables) -> None:
    """Writes the owners' four tables."""
    _write_table(root, "metadata", METADATA_COLUMNS, tables.metadata)
    split_columns = ("dicom_id", "study_id", "subject_id", "split")
    _write_table(root, "split", split_columns, tables.splits)
    for name in LABELLERS:
        columns = ("subject_id", "study_id", *FINDINGS)
        _write_table(root, name, columns, tables.labels, compress=True)


def _report(factors: Factors, index: int) -> str:
    shown = sentence(lesions(factors, "nodule"))
    impression = [" IMPRESSION: ", " ", f" {shown}"]
    findings = [
        " FINDINGS: ",
        " ",
        f" This is a drawn phantom.  {shown}",
        f" There is {other_side(factors, 'nodule')}.",
    ]
    body = ([*findings, " ", *impression], impression, findings, [f" {shown}"])[index % 4]
    head = [
        " EXAMINATION:  CHEST (PA AND LAT)",
        " ",
        " INDICATION:  ___ year old phantom, not a patient.  Nodules?",
        " ",
        " COMPARISON:  ___.",
        " ",
    ]
    return "\n".join([" " * 33 + "FINAL REPORT", *head, *body, ""])


def _dicom_id(random: Generator) -> str:
    """Five groups of eight hexadecimal digits, as in the owners' names."""
    return "-".join(f"{value:08x}" for value in random.integers(0, 2**32, 5))


def _write_table(
    root: Path,
    name: str,
    columns: tuple[str, ...],
    rows: Sequence[Mapping[str, object]],
    *,
    compress: bool = False,
) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    data = text.getvalue().encode()
    plain, zipped = table_names(name)
    # A fixed time in the header keeps the bytes the same for the same seed.
    (root / (zipped if compress else plain)).write_bytes(
        gzip.compress(data, mtime=0) if compress else data
    )
