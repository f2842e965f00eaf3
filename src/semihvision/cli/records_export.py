"""`semihvision records export`: questions and conversations as LLaVA/Cambrian JSONL."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from semihvision.cli.output import print_json, print_table, stderr
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError, RefusalLog
from semihvision.core.files import open_atomically
from semihvision.core.lineage import sources_of, withheld_by
from semihvision.core.llava import export_lines, exported_parts
from semihvision.core.near_names import did_you_mean
from semihvision.core.parquet import read_records
from semihvision.core.writable import require_writable_file


@dataclass
class _Exported:
    """What an export wrote and what it found."""

    records: int = 0
    lines: int = 0
    without: int = 0
    by_split: Counter[str] = field(default_factory=Counter)
    splits: dict[str, None] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    refused: RefusalLog = field(default_factory=RefusalLog)


def export(argv: list[str]) -> int:
    """Writes LLaVA/Cambrian JSON lines; 3 where records were withheld or nothing came out.

    Raises:
        InputError: No record or question is of the split, or the file cannot be written.
    """
    made = parser("records export", "Writes questions and conversations as LLaVA/Cambrian JSONL.")
    made.add_argument("file", type=Path, help="Parquet file of records")
    made.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    made.add_argument("--split", type=str, help="only this split, e.g. train; else all")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    require_writable_file(arguments.out)
    with open_atomically(arguments.out) as stream:
        done = _write(arguments.file, arguments.split, stream)
        if arguments.split is not None and done.records and arguments.split not in done.splits:
            raise InputError(_no_such_split(arguments.file, arguments.split, done.splits))
    _say(done, arguments.out, as_json=arguments.json)
    path = arguments.out.with_suffix(".refused.jsonl")
    done.refused.write(path)
    if done.refused.items:
        said = f"{len(done.refused.items)} records were withheld; reasons in {path}"
        stderr.print(said, markup=False, soft_wrap=True)
        return EXIT_REFUSED_ITEMS
    if done.lines:
        return EXIT_DONE
    stderr.print(_nothing(done, arguments.file, arguments.split), markup=False, soft_wrap=True)
    return EXIT_REFUSED_ITEMS


def _write(file: Path, split: str | None, stream: TextIO) -> _Exported:
    done = _Exported()
    for record in read_records(file):
        done.records += 1
        own_splits = [own for own, _ in exported_parts(record)]
        done.splits.update(dict.fromkeys([record.split, *own_splits]))
        withheld = withheld_by(record)
        if withheld:
            done.refused.add(record.record_id, reason=withheld, kind="withheld")
            continue
        before = done.lines
        for line in export_lines([record], split=split):
            stream.write(line + "\n")
            done.lines += 1
        done.by_split.update(own for own, _ in exported_parts(record, split))
        done.sources.update(sources_of(record))
        done.without += done.lines == before
    return done


def _no_such_split(file: Path, split: str, splits: dict[str, None]) -> str:
    stated = sorted(filter(None, splits))
    found = f"found {', '.join(stated)}" if stated else "its records state no split"
    return f"{file}: no split {split!r} in this file; {found}{did_you_mean(split, stated)}"


def _nothing(done: _Exported, file: Path, split: str | None) -> str:
    whose = f" of split {split!r}" if split is not None else ""
    return (
        f"nothing was exported: {file} has no questions or conversations{whose} "
        f"({done.records:,} records); `semihvision annotate run --records {file} ...` writes them"
    )


def _say(done: _Exported, out: Path, *, as_json: bool) -> None:
    kept = sorted(name for name in done.sources if not _may_be_passed_on(name))
    document: dict[str, Any] = {
        "out": str(out),
        "records": done.records,
        "lines": done.lines,
        "lines_by_split": dict(done.by_split),
        "records_without_samples": done.without,
        "records_withheld": len(done.refused.items),
        "not_to_be_passed_on": kept,
    }
    if as_json:
        print_json(document)
        return
    shown = {
        **document,
        "lines_by_split": ", ".join(f"{n} {split or 'none'}" for split, n in done.by_split.items()),
        "not_to_be_passed_on": ", ".join(kept) or "-",
    }
    rows = [(name.replace("_", " "), value) for name, value in shown.items()]
    print_table("LLaVA/Cambrian JSONL", ("what", "value"), rows)


def _may_be_passed_on(source: str) -> bool:
    """By its card; a source without one has no terms that would say so."""
    return source in CARD_MODULES and card(source).redistribution != "no"
