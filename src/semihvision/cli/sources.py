"""`semihvision sources`: the cards of all sources, as a table or JSON."""

from collections.abc import Iterator
from dataclasses import asdict

from semihvision.cli.output import in_text, print_json, print_table
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.card import CARD_MODULES, Card, card

_LABELS = {
    "owners_caption_flag": "owners' caption flag",
    "human_text": "text written by people",
    "redistribution": "passing on",
    "exports_text": "text in exports",
    "earliest_date": "only from",
}
"""Fields of a card whose names do not speak for themselves."""


def run(argv: list[str]) -> int:
    """Prints the cards."""
    made = parser("sources", "Licence, access and data-use conditions of every source.")
    made.add_argument("names", nargs="*", type=str, help="only these sources")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    cards = [card(name) for name in arguments.names or CARD_MODULES]
    if arguments.json:
        print_json([{**asdict(c), "earliest_date": str(c.earliest_date or "")} for c in cards])
        return 0
    if arguments.names:
        for one in cards:
            print_table(one.name, ("what", "terms"), _details(one))
        return 0
    columns = ("source", "licence", "to a hosted model", "passing on", "commercial")
    print_table("Sources (one in full: semihvision sources NAME)", columns, map(_row, cards))
    return 0


def _hosted(one: Card) -> str:
    return "your consent" + "".join(f" + {name}" for name in one.api_conditions)


def _row(one: Card) -> tuple[str, ...]:
    # With blanks, so that the names of settings are not cut within a word.
    hosted = _hosted(one).replace("_", " ")
    return (one.name, one.licence, hosted, one.redistribution, one.commercial_use)


def _details(one: Card) -> Iterator[tuple[str, str]]:
    for name, value in asdict(one).items():
        if name == "api_conditions":
            yield "to a hosted model", _hosted(one)
        elif name == "components":
            yield (
                "on disk",
                "; ".join(f"{part.name} ({' | '.join(part.patterns)})" for part in one.components),
            )
        elif value not in (None, ""):
            yield _LABELS.get(name, name.replace("_", " ").removeprefix("api ")), in_text(value)
