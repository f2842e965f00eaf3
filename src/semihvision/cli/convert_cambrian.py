"""`semihvision convert from-cambrian`: a published Cambrian-1 checkpoint as a model folder."""

from dataclasses import asdict
from pathlib import Path

from semihvision.cli.output import Bars, print_json, print_table, progress
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.errors import InputError
from semihvision.core.writable import require_writable_folder

_NO_SYSTEM_TEXT = (
    "not in the folder: to be given wherever it is used (system_prompt_file, chat's "
    "--system-prompt); with --system-prompt here, the folder holds the text"
)


def from_cambrian(argv: list[str]) -> int:
    """Writes the folder and says what is in it."""
    made = parser(
        "convert from-cambrian",
        "Writes a model folder, which fit (init_from), evaluate and chat read, from a published "
        "Cambrian-1 checkpoint and the weights of its vision towers, which checkpoints lack.",
    )
    made.add_argument("--checkpoint", type=Path, required=True, help="published checkpoint folder")
    made.add_argument("--out", type=Path, required=True, help="model folder to make")
    made.add_argument(
        "--tower-weights",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="NAME=SOURCE for every tower: a file, or a name on timm's hub; may be repeated",
    )
    made.add_argument(
        "--dtype", type=str, default="", help="float32, bfloat16 or float16; empty: as stored"
    )
    made.add_argument(
        "--system-prompt", type=str, default="", help="file with the official system text"
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    require_writable_folder(arguments.out)
    tower_weights = named_sources(arguments.tower_weights)

    from models.conversion import convert_official_folder
    from models.official_prompt import read_system_prompt

    prompt = read_system_prompt(arguments.system_prompt) if arguments.system_prompt else ""
    with progress() as display:
        done = convert_official_folder(
            arguments.checkpoint,
            arguments.out,
            tower_weights=tower_weights,
            dtype=arguments.dtype or None,
            system_prompt=prompt,
            on_progress=Bars(display),
        )
    if arguments.json:
        print_json({**asdict(done), "folder": str(done.folder)})
        return 0
    rows = [
        ("folder", done.folder),
        ("weights", f"{done.num_bytes / 1e9:.3f} GB in {done.num_files} files, {done.dtype}"),
        ("parameters", f"{done.num_parameters:,}"),
        ("preset", done.preset or "none: `fit` takes models of its presets only"),
        *((f"tower {name}", facts["source"]) for name, facts in done.towers.items()),
        ("system text", "in the folder" if prompt else _NO_SYSTEM_TEXT),
    ]
    print_table("Model folder", ("", ""), rows)
    return 0


def named_sources(values: list[str]) -> dict[str, str]:
    """``NAME=SOURCE`` pairs as a mapping.

    Raises:
        InputError: Not such a pair, or a name given twice.
    """
    sources: dict[str, str] = {}
    for value in values:
        name, _, source = value.partition("=")
        if not name or not source:
            raise InputError(f"--tower-weights {value!r}: expected NAME=SOURCE")
        if name in sources:
            raise InputError(f"--tower-weights {value!r}: {name} already has {sources[name]!r}")
        sources[name] = source
    return sources
