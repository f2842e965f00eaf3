"""`semihvision prepare`: an owner's own files -> Records in Parquet, and what was refused."""

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from data_modules.reading import reader_of
from semihvision.cli.output import print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError
from semihvision.core.preparation import Preparation, Prepared, prepare_records
from semihvision.core.synthetic import SYNTHETIC
from semihvision.core.writable import require_writable_file


def run(argv: list[str]) -> int:
    """Prepares one source."""
    made = parser("prepare", "Reads a source in its owner's layout and writes Records.")
    made.add_argument("name", type=str, help="source or benchmark, e.g. vqa_rad")
    made.add_argument("--root", type=Path, required=True, help="folder with the owner's files")
    made.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    made.add_argument(
        "--options",
        type=dict[str, Any],
        default={},
        help="settings of the source's own: --options.NAME VALUE; its file explains them",
    )
    made.add_argument(
        "--workers", type=int, default=_cores(), help="processes that hash and decode new images"
    )
    made.add_argument(
        "--verify",
        action="store_true",
        help="hash all images again, rather than trust their size and modification time",
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    done = prepare(
        arguments.name,
        arguments.root,
        arguments.out,
        arguments.options,
        workers=arguments.workers,
        verify=arguments.verify,
    )
    document = {
        "source": arguments.name,
        "out": str(arguments.out),
        **done.counts,
        "refused": {"total": sum(done.refused.values()), "by_kind": done.refused},
        "images_examined": done.images_examined,
        "unchanged": done.is_unchanged,
    }
    if arguments.json:
        print_json(document)
    else:
        print_table(f"{arguments.name} -> {arguments.out}", ("what", "number"), _rows(document))
    return _end(done)


def prepare(
    name: str,
    root: Path,
    out: Path,
    options: Mapping[str, Any] | None = None,
    *,
    workers: int = 1,
    verify: bool = False,
) -> Prepared:
    """Reads a source and writes its records to `out`, the refused items beside it.

    Args:
        name: Name of a source with a reader.
        root: Folder in the owner's layout.
        out: Parquet file; refused items go to the same name with ``.refused.jsonl``, what is known
            of the images to ``.prepare.sqlite``.
        options: Options of the reader, as its source's file describes them.
        workers: Processes that examine images where many are new; 1: this process alone.
        verify: Hash all images anew, rather than trust size and modification time.

    Raises:
        InputError: Unknown source or option, unusable root or output, or not one usable record.
    """
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: expected a name that ends with .parquet")
    if workers < 1:
        raise InputError(f"--workers {workers}: expected 1 or more")
    reader = reader_of(name, options)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected {card(name).title} in its own layout")
    require_writable_file(out)
    task = Preparation(
        name=name,
        reader=reader,
        options=options or {},
        root=root,
        out=out,
        code=_code(name),
    )
    with progress() as display:
        shown: dict[str, Any] = {}

        def told(what: str, number: int) -> None:
            if what not in shown:
                shown[what] = display.add_task(f"{what} of {name}", total=None)
            display.advance(shown[what], number)

        return prepare_records(task, workers=workers, verify=verify, told=told)


def _code(name: str) -> tuple[Path, ...]:
    """Folders of the code that reads a source; that of a benchmark stands in `evaluation`."""
    packages = dict.fromkeys(("data_modules", CARD_MODULES[name].partition(".")[0]))
    return tuple(Path(str(import_module(package).__file__)).parent for package in packages)


def _cores() -> int:
    """Cores this process may use; where the system does not say, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end(done: Prepared) -> int:
    if done.is_unchanged:
        stderr.print("nothing has changed since the last run; its files stand")
    if not done.refused:
        return EXIT_DONE
    total = sum(done.refused.values())
    said = f"{total:,} items were refused; reasons in {done.refused_path}"
    stderr.print(said, markup=False, soft_wrap=True)
    return EXIT_REFUSED_ITEMS


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("records", "records_without_images", "groups", "images", "regions"):
        yield name.replace("_", " "), f"{document[name]:,}"
    yield "questions", f"{document['questions']['total']:,}"
    for split, kinds in document["questions"]["by_split"].items():
        for kind, number in kinds.items():
            yield f"  {split}, {kind}", f"{number:,}"
    synthetic = document.get("by_origin", {}).get(SYNTHETIC)
    if synthetic:
        yield f"records: {SYNTHETIC}", f"{synthetic:,}"
    for kind, number in document["by_text_kind"].items():
        yield f"texts: {kind}", f"{number:,}"
    yield "test images", f"{document['test_images']:,}"
    yield "  of these also in training", f"{document['test_images_also_in_training']:,}"
    yield "refused", f"{document['refused']['total']:,}"
    for kind, number in document["refused"]["by_kind"].items():
        yield f"  {kind.replace('_', ' ')}", f"{number:,}"
    yield "images examined in this run", f"{document['images_examined']:,}"
