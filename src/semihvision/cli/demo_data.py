"""`semihvision demo-data`: small synthetic twins of the sources, in their owners' layouts."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from semihvision.cli.output import print_json, print_table
from semihvision.cli.parsing import parser
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import EXIT_DONE, InputError
from semihvision.core.files import write_text_atomically
from semihvision.core.synthetic import MARKER, mark
from semihvision.core.writable import require_writable_folder


def run(argv: list[str]) -> int:
    """Writes the twins."""
    made = parser(
        "demo-data",
        "Writes drawn phantoms as small synthetic twins of the sources, each to OUT/<source>/.",
    )
    made.add_argument("--out", type=Path, required=True, help="folder to write to")
    made.add_argument(
        "--source", type=str, nargs="+", action="extend", help="only these sources (repeatable)"
    )
    made.add_argument("--cases", type=int, default=24, help="cases a source (images, patients)")
    made.add_argument("--seed", type=int, default=0, help="decides everything")
    made.add_argument(
        "--with-faults",
        action="store_true",
        help="with quirks and faults; what must be refused stands in OUT/<source>.faults.json",
    )
    made.add_argument("--json", action="store_true", help="one JSON document")
    arguments = made.parse_args(argv)
    write = write_faulty_twins if arguments.with_faults else write_twins
    written = write(arguments.out, arguments.source, arguments.cases, arguments.seed)
    rows = [_row(name, root, arguments.with_faults) for name, root in written.items()]
    if arguments.json:
        print_json(rows)
    else:
        columns = tuple(rows[0])
        cells = [tuple(str(row[column]) for column in columns) for row in rows]
        print_table("Demo data: drawn phantoms, no patients", columns, cells)
    return EXIT_DONE


def write_twins(out: Path, names: list[str] | None, cases: int, seed: int) -> dict[str, Path]:
    """Writes twins and returns their roots by source.

    Args:
        out: Folder to write to; each twin goes to its own new or empty folder below.
        names: Sources; None for all that have a twin.
        cases: Cases of each.
        seed: Decides everything.

    Raises:
        InputError: Unknown source, source without a twin, or a folder that already holds files.
    """
    roots = _checked_roots(out, names, with_twin(), cases, seed)
    for name, root in roots.items():
        write_marked_twin(root, name, cases=cases, seed=seed)
    return roots


def write_marked_twin(root: Path, name: str, *, cases: int, seed: int) -> None:
    """Writes one twin, and the marker by which its records are known as synthetic.

    Args:
        root: Folder to write to.
        name: Source that has a twin.
        cases: How many.
        seed: Decides everything.
    """
    root.mkdir(parents=True, exist_ok=True)
    import_module(CARD_MODULES[name]).write_twin(root, cases=cases, seed=seed)
    mark(root, name, cases=cases, seed=seed)


def write_faulty_twins(
    out: Path, names: list[str] | None, cases: int, seed: int
) -> dict[str, Path]:
    """Writes twins with quirks and faults, and beside each the list of what must be refused.

    Args:
        out: As for `write_twins`; the lists are `out`/<source>.faults.json.
        names: Sources; None for all that have such a twin.
        cases: Sound cases of each; the faulty ones come on top.
        seed: Decides everything.

    Raises:
        InputError: As for `write_twins`.
    """
    from data_modules.twins.faults import faults_writer

    writers = {name: faults_writer(name) for name in CARD_MODULES}
    known = {name: writer for name, writer in writers.items() if writer is not None}
    roots = _checked_roots(out, names, list(known), cases, seed)
    for name, root in roots.items():
        root.mkdir(parents=True, exist_ok=True)
        twin = known[name](root, cases=cases, seed=seed)
        mark(root, name, cases=cases, seed=seed)
        document = twin._asdict() | {"planted": [fault._asdict() for fault in twin.planted]}
        path = faults_file(root)
        write_text_atomically(path, json.dumps(document, indent=2) + "\n")
    return roots


def faults_file(root: Path) -> Path:
    """Where the list of a faulty twin's faults stands."""
    return root.with_name(f"{root.name}.faults.json")


def with_twin() -> list[str]:
    """Names of the sources that have a twin."""
    return [
        name
        for name, module in CARD_MODULES.items()
        if hasattr(import_module(module), "write_twin")
    ]


def _checked_roots(
    out: Path, names: list[str] | None, known: list[str], cases: int, seed: int
) -> dict[str, Path]:
    """Folder of each chosen source, known to be free."""
    if cases < 1 or seed < 0:
        raise InputError(f"cases {cases}, seed {seed}: expected cases >= 1 and seed >= 0")
    roots = {name: out / name for name in (known if names is None else dict.fromkeys(names))}
    for name, root in roots.items():
        card(name)
        if name not in known:
            raise InputError(f"{name} has no twin yet; those with one: {', '.join(known)}")
        require_writable_folder(root)
        if root.exists() and any(root.iterdir()):
            raise InputError(f"{root} already holds files; choose another folder or empty it")
    return roots


def _row(name: str, root: Path, with_faults: bool) -> dict[str, Any]:
    files = sum(path.is_file() and path.name != MARKER for path in root.rglob("*"))
    row = {"source": name, "root": str(root), "files": files}
    return row | {"faults": str(faults_file(root))} if with_faults else row
