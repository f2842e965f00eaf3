"""Quilt-1M: histopathology images with texts from teaching videos and other public sources.

Owner: Ikezogwo et al., University of Washington (wisdomikezogwo/quilt1m).
URL: https://quilt1m.github.io
Licence: the owners' terms of use, by request; redistribution is forbidden.
Access: request at the owners' page; nothing is downloaded here.
Citation: Ikezogwo et al., "Quilt-1M: One Million Image-Text Pairs for Histopathology", NeurIPS
    2023.
Expected tree::

    <root>/
      quilt_1M_lookup.csv    unnamed index, caption, image_path, subset, split, pathology,
                             roi_text, noisy_text, corrected_text, med_umls_ids, magnification,
                             height, width [, not_histology, single_wsi]
      quilt_1m/<image_path>  the unpacked archives; also images/, or directly below <root>

Split policy: the owners' column `split`. One row is one record; all images of a video, by the
    part of the name before "_image_", are one group; any other image is a group of its own.
Known (owners' README, third-party copy): the columns; `pathology` is a list string, `med_umls_ids`
    a list of lists of {entity, concept_id, confidence}. Third parties: `subset` is quilt, openpath,
    pubmed or laion; `roi_text` is a list string, too; several rows may share an image; a few
    captions are missing. Not stated by the owners: a licence. Not known: how names of images tell
    the video (ours is a guess at a naming pattern; a wrong guess only makes groups smaller).
Not taken into Records: noisy_text (what corrected_text corrects), confidence of UMLS concepts,
    height and width (of the video, not of the file), quilt_recon.csv and quilt_data.csv.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_modules.cells import image_of_cell, literal, text_list
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.paths import inside
from semihvision.core.record import Label, Record, Text
from semihvision.core.tables import csv_rows, required_file

CARD = Card(
    name="quilt_1m",
    title="Quilt-1M",
    owner="Ikezogwo et al., University of Washington",
    url="https://quilt1m.github.io",
    licence="owners' terms of use (gated)",
    licence_url="https://github.com/wisdomikezogwo/quilt1m",
    access="Request at the owners' page.",
    citation="Ikezogwo et al., Quilt-1M, NeurIPS 2023",
    owners_caption_flag=True,
    human_text=True,
    api_conditions=("agreement_allows",),
    api_clause="Access is granted by request and redistribution is forbidden.",
    redistribution="no",
    commercial_use="not stated",
    components=(
        Component(name="table", patterns=("quilt_1M_lookup.csv",), unit="rows"),
        Component(name="frames", patterns=("quilt_1m/*", "images/*", "*.jpg")),
    ),
    notes="The owners state no licence; that a hosted model needs their terms' leave is inferred.",
)

COLUMNS = (
    "caption", "image_path", "subset", "split", "pathology", "roi_text", "noisy_text",
    "corrected_text", "med_umls_ids", "magnification", "height", "width",
)  # fmt: skip
FOLDERS = ("quilt_1m", "images")
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "test": "test", "": ""}
"""`split` in lower case -> ours."""

_VIDEO = "_image_"

Row = dict[str, str]


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per row, in the table's order; nothing is held in memory.

    Args:
        root: Folder in the owners' layout.
        refused: Gets rows that cannot be used, with the reason.

    Raises:
        InputError: The table is missing, or one of its columns is.
    """
    table = required_file(root, "quilt_1M_lookup.csv")
    folder = next((f"{name}/" for name in FOLDERS if (root / name).is_dir()), "")
    seen: set[int | str] = set()
    for line, row in csv_rows(table, COLUMNS, refused):
        item, index = f"line {line}", row.get("", "").strip()
        name = index if index.isdecimal() else f"line{line}"
        content = hash((row["image_path"], row["caption"], row["roi_text"]))
        try:
            if seen & {content, name}:
                raise InputError(
                    "row or index were there already; the first is kept", kind="repeated_id"
                )
            fields = _fields(root, folder, row)
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=table.name)
            continue
        seen |= {content, name}
        record = valid_record(
            item, refused, file=table.name, record_id=f"quilt_1m/{name}", **fields
        )
        if record is not None:
            yield record


def _fields(root: Path, folder: str, row: Row) -> dict[str, Any]:
    split = _value(row, "split").lower()
    if split not in SPLITS:
        raise InputError(f"split: expected {', '.join(filter(None, SPLITS))}", kind="invalid_row")
    path = row["image_path"].strip()
    texts, labels = tuple(_texts(row)), tuple(_labels(row))
    if not texts:
        raise InputError("neither caption nor roi_text nor corrected_text", kind="invalid_row")
    inside(root / folder, path)
    name = path.rpartition("/")[2]
    return {
        "source": "quilt_1m",
        "split": SPLITS[split],
        "group_id": name.partition(_VIDEO)[0] if _VIDEO in name else path,
        "images": (image_of_cell(root, folder + path, image_id="image"),),
        "texts": texts,
        "labels": labels,
        "modality": "" if _flag(row, "not_histology") else "pathology",
        "provenance": (OWNER,),
        "licence": licence_of(CARD),
    }


def _value(row: Row, column: str) -> str:
    """A cell without blanks around it; empty where the owners' table says NaN or has no column."""
    text = row.get(column, "").strip()
    return "" if text.lower() == "nan" else text


def _texts(row: Row) -> Iterator[Text]:
    """The caption, and what is said about the region and around the frame."""
    found = [("caption", "caption", _value(row, "caption"))]
    for number, said in enumerate(_cell(row, "roi_text"), start=1):
        found.append((f"roi_text {number}", "context", said))
    found.append(("corrected_text", "context", _value(row, "corrected_text")))
    for text_id, kind, text in found:
        if text:
            yield Text(text_id=text_id, kind=kind, text=text, provenance_id=OWNER.provenance_id)


def _cell(row: Row, column: str) -> list[str]:
    """A list cell; `roi_text` of the other subsets may be plain text."""
    text = _value(row, column)
    if column == "roi_text" and text and not text.startswith("["):
        return [text]
    try:
        return text_list(text)
    except InputError as error:
        raise InputError(f"{column}: {error}", kind=error.kind) from None


def _labels(row: Row) -> Iterator[Label]:
    for number, value in enumerate(_cell(row, "pathology"), start=1):
        yield _label(f"pathology {number}", "pathology", value)
    for number, value in enumerate(_concepts(row), start=1):
        yield _label(f"umls {number}", "umls_concept", value, system="UMLS")
    for name in ("subset", "magnification"):
        if _value(row, name):
            yield _label(name, name, _value(row, name))
    for name in ("not_histology", "single_wsi"):
        if _flag(row, name):
            yield _label(name, name, "1")


def _label(label_id: str, name: str, value: str, *, system: str = "Quilt-1M") -> Label:
    return Label(label_id=label_id, name=name, value=value, system=system)


def _flag(row: Row, column: str) -> bool:
    value = _value(row, column).lower()
    if value not in ("", "0", "1", "0.0", "1.0", "true", "false"):
        raise InputError(f"{column}: expected 0 or 1", kind="invalid_row")
    return value in ("1", "1.0", "true")


def _concepts(row: Row) -> list[str]:
    """Each UMLS concept once, as ``<concept id> <entity>``."""
    try:
        entries = literal(_value(row, "med_umls_ids")) or []
        return list(
            dict.fromkeys(
                f"{entity['concept_id']} {entity['entity']}"
                for group in entries
                for entity in group
            )
        )
    except (TypeError, KeyError):
        reason = "med_umls_ids: expected lists of {entity, concept_id, confidence}"
        raise InputError(reason, kind="invalid_row") from None
    except InputError as error:
        raise InputError(f"med_umls_ids: {error}", kind=error.kind) from None


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.quilt_1m`."""
    from data_modules.twins.quilt_1m import write_twin as write

    write(root, cases=cases, seed=seed)
