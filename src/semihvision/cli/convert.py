"""`semihvision convert verify`: this model against outputs of the official Cambrian-1 code."""

from dataclasses import asdict
from pathlib import Path

from semihvision.cli.output import print_json, print_table
from semihvision.cli.parsing import dispatch, parser
from semihvision.core.errors import EXIT_CHECK_FAILED, InputError


def run(argv: list[str]) -> int:
    """Dispatches the verbs."""
    summary = "recompute a golden file's outputs and compare"
    return dispatch("convert", {"verify": (verify, summary)}, argv)


def verify(argv: list[str]) -> int:
    """Prints the largest absolute difference of every output; exit code 4 if one is too large."""
    made = parser(
        "convert verify",
        "Recomputes a golden file's outputs with the forward and generate of training and use.",
    )
    made.add_argument("golden", type=Path, help="golden .safetensors file")
    made.add_argument("--json", action="store_true", help="one JSON document")
    arguments = made.parse_args(argv)

    from models.golden import TOLERANCE, GoldenFileError
    from models.golden import verify as recompute

    try:
        differences = recompute(arguments.golden)
    except GoldenFileError as error:
        raise InputError(str(error)) from None
    passed = all(difference.passed for difference in differences)
    if arguments.json:
        print_json(
            {
                "golden": str(arguments.golden),
                "tolerance": TOLERANCE,
                "passed": passed,
                "outputs": [asdict(difference) for difference in differences],
            }
        )
    else:
        rows = [(d.output, f"{d.largest:.2e}", "ok" if d.passed else "FAILED") for d in differences]
        title = f"Largest absolute differences (allowed {TOLERANCE:.0e}; masks, ids: none)"
        print_table(title, ("output", "difference", "verdict"), rows)
    return 0 if passed else EXIT_CHECK_FAILED
