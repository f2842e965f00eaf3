"""`semihvision sources`: the cards of all sources, as a table or JSON."""

from dataclasses import asdict

from semihvision.cli.output import print_json, print_table
from semihvision.cli.parsing import parser
from semihvision.core.card import CARD_MODULES, Card, card


def run(argv: list[str]) -> int:
    """Prints the cards."""
    made = parser("sources", "Licence, access and data-use conditions of every source.")
    made.add_argument("names", nargs="*", type=str, help="only these sources")
    made.add_argument("--json", action="store_true", help="one JSON document")
    arguments = made.parse_args(argv)
    cards = [card(name) for name in arguments.names or CARD_MODULES]
    if arguments.json:
        print_json([{**asdict(c), "earliest_date": str(c.earliest_date or "")} for c in cards])
        return 0
    columns = ("source", "licence", "access", "to a hosted model", "passing on", "commercial")
    print_table("Sources", columns, (_row(c) for c in cards))
    return 0


def _row(one: Card) -> tuple[str, ...]:
    api = "your consent" + "".join(f" + {name}" for name in one.api_conditions)
    return (one.name, one.licence, one.access, api, one.redistribution, one.commercial_use)
