"""`semihvision demo-data`: small synthetic twins of the sources, in their owners' layouts."""

from importlib import import_module
from pathlib import Path

from semihvision.cli.output import print_json, print_table
from semihvision.cli.parsing import parser
from semihvision.core.card import CARD_MODULES, card
from semihvision.core.errors import EXIT_DONE, InputError


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
    made.add_argument("--json", action="store_true", help="one JSON document")
    arguments = made.parse_args(argv)
    written = write_twins(arguments.out, arguments.source, arguments.cases, arguments.seed)
    rows = [(name, str(root), _files(root)) for name, root in written.items()]
    if arguments.json:
        print_json([{"source": name, "root": root, "files": files} for name, root, files in rows])
    else:
        print_table("Demo data: drawn phantoms, no patients", ("source", "root", "files"), rows)
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
    if cases < 1 or seed < 0:
        raise InputError(f"cases {cases}, seed {seed}: expected cases >= 1 and seed >= 0")
    chosen = list(dict.fromkeys(names if names is not None else with_twin()))
    roots = {name: out / name for name in chosen}
    for name, root in roots.items():
        card(name)
        if name not in with_twin():
            raise InputError(f"{name} has no twin yet; those with one: {', '.join(with_twin())}")
        if root.exists() and any(root.iterdir()):
            raise InputError(f"{root} already holds files; choose another folder or empty it")
    for name, root in roots.items():
        root.mkdir(parents=True, exist_ok=True)
        import_module(CARD_MODULES[name]).write_twin(root, cases=cases, seed=seed)
    return roots


def with_twin() -> list[str]:
    """Names of the sources that have a twin."""
    return [
        name
        for name, module in CARD_MODULES.items()
        if hasattr(import_module(module), "write_twin")
    ]


def _files(root: Path) -> int:
    return sum(path.is_file() for path in root.rglob("*"))
