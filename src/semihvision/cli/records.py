"""`semihvision records`: show some records, count them, export them as LLaVA/Cambrian JSONL."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from semihvision.cli.output import print_json, print_table, stderr
from semihvision.cli.parsing import JSON_HELP, dispatch, parser
from semihvision.cli.records_export import export
from semihvision.core.counts import RecordCounts, has
from semihvision.core.errors import EXIT_DONE, InputError
from semihvision.core.parquet import count_records, read_records
from semihvision.core.record import Record, Region
from semihvision.core.rights import RightsCounts
from semihvision.core.synthetic import SYNTHETIC

_SHOWN_CHARS = 60


def run(argv: list[str]) -> int:
    """Dispatches to the verb."""
    return dispatch(
        "records",
        {
            "show": (show, "some records, a line each; long texts are cut"),
            "stats": (stats, "counts by source, modality, licence, split, ..."),
            "export": (export, "LLaVA/Cambrian JSON lines of questions and conversations"),
            "browse": (_browse, "one static HTML page: thumbnails with boxes, texts, filters"),
        },
        argv,
    )


def _browse(argv: list[str]) -> int:
    # Loads an image library, which the other verbs do without.
    from semihvision.cli.browse import browse

    return browse(argv)


def show(argv: list[str]) -> int:
    """Shows the first records, or one by its id."""
    made = parser("records show", "Shows records; texts are cut to one short line each.")
    made.add_argument("file", type=Path, help="Parquet file of records")
    made.add_argument("--number", type=int, default=5, help="most records shown")
    made.add_argument("--id", type=str, help="only the record of this id")
    made.add_argument("--json", action="store_true", help=f"{JSON_HELP}, texts in full")
    arguments = made.parse_args(argv)
    found = (
        record
        for record in read_records(arguments.file)
        if arguments.id in (None, record.record_id)
    )
    chosen = list(islice(found, max(arguments.number, 0)))
    if arguments.id is not None and not chosen and arguments.number > 0:
        raise InputError(
            f"{arguments.file}: no record {arguments.id!r}; `records show` lists the first ones"
        )
    if arguments.json:
        print_json([record.model_dump(mode="json") for record in chosen])
        return EXIT_DONE
    for record in chosen:
        print_table(record.record_id, ("part", "content"), _lines(record))
    stderr.print(f"{len(chosen)} of {count_records(arguments.file)} records")
    return EXIT_DONE


def stats(argv: list[str]) -> int:
    """Counts a file's records."""
    made = parser("records stats", "Counts records by source, modality, licence, split and more.")
    made.add_argument("file", type=Path, help="Parquet file of records")
    made.add_argument(
        "--licences", action="store_true", help="by licence, and by what may be done with them"
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    if arguments.licences:
        return _licences(arguments.file, as_json=arguments.json)
    counts = RecordCounts()
    for record in read_records(arguments.file):
        counts.add(record)
    document = counts.document()
    if arguments.json:
        print_json(document)
    else:
        print_table(str(arguments.file), ("what", "value", "number"), _counted(document))
    return EXIT_DONE


def _licences(file: Path, *, as_json: bool) -> int:
    counts = RightsCounts()
    for record in read_records(file):
        counts.add(record)
    rows = counts.document()
    if as_json:
        print_json(rows)
        return EXIT_DONE
    columns = ("licence", "from", "to a hosted model", "passing on", "commercial", "records")
    cells = [
        (
            row["licence"] + (", share alike" if row["share_alike"] else ""),
            ", ".join(row["sources"]),
            # With blanks, so that the names of settings are not cut within a word.
            row["to_a_hosted_model"].replace("_", " "),
            row["redistribution"] + ("" if row["exports_text"] else ", no text in any export"),
            row["commercial_use"],
            f"{row['records']:,} ({row['images']:,} images)",
        )
        for row in rows
    ]
    print_table(str(file), columns, cells)
    return EXIT_DONE


def _lines(record: Record) -> Iterator[tuple[str, str]]:
    yield "split, group", _stated(record.split, record.group_id)
    yield "modality, body part", _stated(record.modality, record.body_part)
    yield "licence", record.licence.name
    yield "annotated from", has(record)
    if record.is_synthetic:
        yield "origin", SYNTHETIC
    for image in record.images:
        yield _named("image", image.image_id), f"{image.path} ({image.width} x {image.height})"
    for region in record.regions:
        yield _named("region", region.region_id), f"{region.label}, {_where(region)}"
    for label in record.labels:
        yield f"label {label.name}", f"{label.value} ({label.system})"
    for text in record.current(record.texts):
        yield _named(text.kind, text.text_id), _cut(text.text)
    for question in record.current(record.qa):
        yield (
            _named("question", question.qa_id),
            f"{_cut(question.question)} -> {_cut(question.answer)}",
        )
    for talk in record.current(record.conversations):
        yield _named("conversation", talk.conversation_id), f"{len(talk.turns)} turns"


def _named(kind: str, own: str) -> str:
    """Kind and id of a part; many ids begin with the kind."""
    return own if own.startswith(kind) else f"{kind} {own}"


def _stated(*values: str | None) -> str:
    return ", ".join(value or "not stated" for value in values)


def _where(region: Region) -> str:
    if region.box_xyxy is None:
        return f"mask {region.mask_path}" if region.mask_path else "no box"
    left, top, right, bottom = region.box_xyxy
    return f"x {left:g} to {right:g}, y {top:g} to {bottom:g} px"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 3] + "..."


def _counted(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, value in document.items():
        if isinstance(value, int):
            yield name.replace("_", " "), "", f"{value:,}"
    yield "questions", "", f"{document['questions']['total']:,}"
    for split, kinds in document["questions"]["by_split"].items():
        for kind, number in kinds.items():
            yield "questions", f"{split}, {kind}", f"{number:,}"
    for name, counted in document.items():
        if name.startswith("by_"):
            for value, number in counted.items():
                yield name.removeprefix("by_").replace("_", " "), value, f"{number:,}"
