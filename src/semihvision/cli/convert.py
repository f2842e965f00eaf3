"""`semihvision convert`: checkpoints in and out; `verify` against outputs of the official code."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from semihvision.cli.convert_cambrian import from_cambrian
from semihvision.cli.convert_hf import to_hf
from semihvision.cli.output import print_json, print_table
from semihvision.cli.parsing import JSON_HELP, dispatch, parser
from semihvision.core.errors import EXIT_CHECK_FAILED, InputError


def run(argv: list[str]) -> int:
    """Dispatches the verbs."""
    summary = "recompute a golden file's outputs and compare"
    verbs: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "from-cambrian": (from_cambrian, "a published Cambrian-1 checkpoint -> a model folder"),
        "to-hf": (to_hf, "a trained model -> a Hugging Face folder"),
        "verify": (verify, summary),
    }
    return dispatch("convert", verbs, argv)


def verify(argv: list[str]) -> int:
    """Prints the largest absolute difference of every output; exit code 4 if one is too large."""
    made = parser(
        "convert verify",
        "Recomputes a golden file's outputs with the forward and generate of training and use.",
    )
    made.add_argument("golden", type=Path, help="golden .safetensors file")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)

    from models.golden import GoldenFileError
    from models.parity import TOLERANCE
    from models.parity import verify as recompute

    try:
        parity = recompute(arguments.golden)
    except GoldenFileError as error:
        raise InputError(str(error)) from None
    if arguments.json:
        print_json(
            {
                "golden": str(arguments.golden),
                "tolerance": TOLERANCE,
                "passed": parity.passed,
                "outputs": [
                    # JSON has no infinity (shapes differ) and no NaN.
                    asdict(d) | {"largest": d.largest if math.isfinite(d.largest) else None}
                    for d in parity.differences
                ],
                "not_compared": parity.left_out,
            }
        )
    else:
        title = f"Largest absolute differences (allowed {TOLERANCE:.0e}; masks, ids: none)"
        rows = [
            (d.output, f"{d.largest:.2e}", "ok" if d.passed else "FAILED")
            for d in parity.differences
        ]
        print_table(title, ("output", "difference", "verdict"), rows)
        if parity.left_out:
            print_table("Not compared", ("output", "why"), parity.left_out.items())
    return 0 if parity.passed else EXIT_CHECK_FAILED
