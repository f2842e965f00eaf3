"""`semihvision doctor`: what is installed, present, corrupt or missing, and where to get it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from semihvision.cli.machine import Fact, endpoint, machine
from semihvision.cli.output import print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.card import Card, card
from semihvision.core.errors import (
    EXIT_CHECK_FAILED,
    EXIT_DONE,
    EXIT_REFUSED_ITEMS,
    InputError,
    RefusedItem,
)
from semihvision.core.synthetic import SYNTHETIC, is_marked

if TYPE_CHECKING:
    from semihvision.core.inspection import DryRun, Found

_SHOWN = 20
_COLOURS = {
    "present": "green",
    "ok": "green",
    "partial": "yellow",
    "corrupt": "red",
    "missing": "red",
    "not ok": "red",
}
_CANNOT, _LOSES, _FINE = "cannot be read", "would lose items", "can be read whole"


def run(argv: list[str]) -> int:
    """Looks at the machine and at the sources that are named."""
    made = parser(
        "doctor",
        "Says what is installed and what of each source is there. Images are opened, not decoded. "
        "Ends with 3 if items would be lost, with 4 if something cannot work.",
    )
    made.add_argument("names", nargs="*", type=str, help="sources, each with its --root")
    made.add_argument(
        "--source", type=str, nargs="+", action="extend", help="the same, as an option"
    )
    made.add_argument(
        "--root", type=Path, nargs="+", action="extend", help="folder of each source, in order"
    )
    made.add_argument(
        "--check-endpoint",
        type=str,
        metavar="URL",
        help="ask whether a server answers at this base URL; no key and no data are sent",
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    roots = _roots([*arguments.names, *(arguments.source or [])], arguments.root or [])
    facts = machine()
    if arguments.check_endpoint is not None:
        facts.append(endpoint(arguments.check_endpoint))
    sources = [_examined(card(name), root) for name, root in roots]
    if arguments.json:
        document = {"machine": [fact._asdict() for fact in facts], "sources": sources}
        print_json(document)
    else:
        print_table("Machine", ("what", "found", ""), map(_fact_row, facts))
        for source in sources:
            _print_source(source)
    return _code(facts, sources)


def _roots(names: list[str], roots: list[Path]) -> list[tuple[str, Path | None]]:
    """Each source with its root; sources alone are shown with what would be needed."""
    for root in roots:
        if not root.is_dir():
            raise InputError(f"--root {root}: no such folder")
    for name in names:
        card(name)
    if roots and len(roots) != len(names):
        raise InputError(
            f"{len(names)} sources and {len(roots)} times --root: expected one for each source, "
            "in the same order, or none at all"
        )
    return [(name, roots[place] if roots else None) for place, name in enumerate(names)]


def _examined(one: Card, root: Path | None) -> dict[str, Any]:
    """Everything about one source as plain values."""
    about = {
        "source": one.name,
        "title": one.title,
        "licence": one.licence,
        "licence_url": one.licence_url,
        "access": one.access,
        "url": one.url,
        "citation": one.citation,
        "root": None if root is None else str(root),
        "synthetic": root is not None and is_marked(root),
    }
    if root is None:
        parts = [asdict(component) for component in one.components]
        return about | {"components": parts, "dry_run": None, "verdict": "no root given"}
    # The machine alone is told about without the readers and Parquet.
    from data_modules.reading import readable, reader_of
    from semihvision.core.inspection import dry_run, look_for

    with progress() as display:
        task = display.add_task(f"looking at {one.name}", total=None)

        def told(what: str, number: int) -> None:
            display.advance(task, number)

        found = [look_for(component, root, told) for component in one.components]
        tried = dry_run(reader_of(one.name), root, told) if one.name in readable() else None
    return about | {
        "components": [_part(part) for part in found],
        "dry_run": None if tried is None else _tried(tried),
        "verdict": _verdict(found, tried),
    }


def _verdict(found: "list[Found]", tried: "DryRun | None") -> str:
    lacking = any(part.status == "missing" and part.component.is_required for part in found)
    if tried is None:
        return "no reader yet"
    if tried.unusable or not tried.records:
        return _CANNOT
    corrupt = any(part.status == "corrupt" for part in found)
    return _LOSES if tried.refused.items or lacking or corrupt else _FINE


def _part(found: "Found") -> dict[str, Any]:
    values = asdict(found)
    component: dict[str, Any] = values.pop("component")
    return component | values


def _tried(tried: "DryRun") -> dict[str, Any]:
    return {
        "records": tried.records,
        "images": tried.images,
        "unusable": tried.unusable,
        "would_be_lost": {
            "total": len(tried.refused.items),
            "by_kind": tried.refused.counts(),
            "items": [asdict(item) for item in tried.refused.items],
        },
    }


def _code(facts: list[Fact], sources: list[dict[str, Any]]) -> int:
    verdicts = {source["verdict"] for source in sources}
    if _CANNOT in verdicts or any(fact.is_ok is False for fact in facts):
        return EXIT_CHECK_FAILED
    return EXIT_REFUSED_ITEMS if _LOSES in verdicts else EXIT_DONE


def _fact_row(fact: Fact) -> tuple[str, str, Text]:
    state = {True: "ok", False: "not ok", None: ""}[fact.is_ok]
    return fact.what, fact.found, _coloured(state)


def _coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, ""))


def _print_source(source: dict[str, Any]) -> None:
    where = "no root given" if source["root"] is None else source["root"]
    columns = ("component", "where", "state", "found", "published", "MiB")
    print_table(
        f"{source['source']}: {where}", columns, [_part_row(part) for part in source["components"]]
    )
    tried = source["dry_run"]
    rows = [("verdict", source["verdict"])]
    if source["synthetic"]:
        rows.append(("origin", f"{SYNTHETIC}: drawn here, not its owner's files"))
    rows += [] if tried is None else list(_tried_rows(tried))
    rows += [(name, source[name]) for name in ("licence", "licence_url", "access", "url")]
    print_table(f"{source['title']}: what it would give", ("what", "found"), rows)
    lost = [] if tried is None else tried["would_be_lost"]["items"]
    if lost:
        shown = [RefusedItem(**item) for item in lost[:_SHOWN]]
        lines = [(item.file, item.item, item.kind.replace("_", " "), item.reason) for item in shown]
        print_table("Would be lost", ("file", "item", "kind", "reason"), lines)
    if len(lost) > _SHOWN:
        stderr.print(f"and {len(lost) - _SHOWN} more; --json lists all", markup=False)


def _part_row(part: dict[str, Any]) -> tuple[str | Text, ...]:
    published = "not known" if part["published"] is None else f"{part['published']:,}"
    if part["origin"]:
        published += f" ({part['origin']})"
    name = part["name"] + ("" if part["is_required"] else " (optional)")
    where = " | ".join(part["patterns"])
    if "status" not in part:
        return name, where, "", "", published, ""
    state = _coloured(part["status"])
    if part["status"] == "missing" and not part["is_required"]:
        state = Text("missing")
    found = f"{part['number']:,} {part['unit']}"
    if part["damaged"]:
        found += f", {len(part['damaged'])} damaged"
    return name, where, state, found, published, f"{part['num_bytes'] / 2**20:,.1f}"


def _tried_rows(tried: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if tried["unusable"]:
        yield "why", tried["unusable"]
    yield "records", f"{tried['records']:,}"
    yield "images", f"{tried['images']:,} (opened, not decoded: prepare may refuse more)"
    yield "would be lost", f"{tried['would_be_lost']['total']:,}"
    for kind, number in tried["would_be_lost"]["by_kind"].items():
        yield f"  {kind.replace('_', ' ')}", f"{number:,}"
