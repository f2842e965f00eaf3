"""`semihvision prepare`: an owner's own files -> Records in Parquet, and what was refused."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.reading import reader_of
from semihvision.cli.output import print_json, print_table, progress, stderr
from semihvision.cli.parsing import parser
from semihvision.core.card import card
from semihvision.core.counts import RecordCounts
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError, RefusalLog
from semihvision.core.parquet import RecordWriter


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Outcome of one preparation."""

    counts: RecordCounts
    refused: RefusalLog
    refused_path: Path


def run(argv: list[str]) -> int:
    """Prepares one source."""
    made = parser("prepare", "Reads a source in its owner's layout and writes Records.")
    made.add_argument("name", type=str, help="source or benchmark, e.g. vqa_rad")
    made.add_argument("--root", type=Path, required=True, help="folder with the owner's files")
    made.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    made.add_argument(
        "--options", type=dict[str, Any], default={}, help="of the reader: --options.NAME VALUE"
    )
    made.add_argument("--json", action="store_true", help="one JSON document")
    arguments = made.parse_args(argv)
    done = prepare(arguments.name, arguments.root, arguments.out, arguments.options)
    document = {
        "source": arguments.name,
        "out": str(arguments.out),
        **done.counts.document(),
        "refused": {"total": len(done.refused.items), "by_kind": done.refused.counts()},
    }
    if arguments.json:
        print_json(document)
    else:
        print_table(f"{arguments.name} -> {arguments.out}", ("what", "number"), _rows(document))
    if done.refused.items:
        stderr.print(
            f"{len(done.refused.items)} items were refused; reasons in {done.refused_path}",
            markup=False,
        )
        return EXIT_REFUSED_ITEMS
    return EXIT_DONE


def prepare(name: str, root: Path, out: Path, options: Mapping[str, Any] | None = None) -> Prepared:
    """Reads a source and writes its records to `out`, the refused items beside it.

    Args:
        name: Name of a source with a reader.
        root: Folder in the owner's layout.
        out: Parquet file; refused items go to the same name with ``.refused.jsonl``.
        options: Options of the reader, as its source's file describes them.

    Raises:
        InputError: Unknown source or option, unusable root, or not one usable record.
    """
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: expected a name that ends with .parquet")
    reader = reader_of(name, options)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected {card(name).title} in its own layout")
    counts, refused = RecordCounts(), RefusalLog()
    refused_path = out.with_suffix(".refused.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    try:
        with RecordWriter(out) as writer, progress() as display:
            task = display.add_task(f"records of {name}", total=None)
            for record in reader(root, refused):
                if record.record_id in seen:
                    reason = "this record_id was already used; the first record is kept"
                    refused.add(record.record_id, reason=reason, kind="repeated_id")
                    continue
                seen.add(record.record_id)
                writer.write(record)
                counts.add(record)
                display.advance(task)
            if not counts.records:
                raise InputError(
                    f"{root}: not one usable record; refused: {refused.counts() or 'nothing'} "
                    f"(reasons in {refused_path})"
                )
    finally:
        refused.write(refused_path)
    return Prepared(counts=counts, refused=refused, refused_path=refused_path)


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("records", "groups", "images", "regions"):
        yield name, f"{document[name]:,}"
    yield "questions", f"{document['questions']['total']:,}"
    for split, kinds in document["questions"]["by_split"].items():
        for kind, number in kinds.items():
            yield f"  {split}, {kind}", f"{number:,}"
    for kind, number in document["by_text_kind"].items():
        yield f"texts: {kind}", f"{number:,}"
    yield "test images", f"{document['test_images']:,}"
    yield "  of these also in training", f"{document['test_images_also_in_training']:,}"
    yield "refused", f"{document['refused']['total']:,}"
    for kind, number in document["refused"]["by_kind"].items():
        yield f"  {kind}", f"{number:,}"
