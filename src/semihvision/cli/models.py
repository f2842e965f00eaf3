"""`semihvision models show`: a preset's parts, shapes and parameter counts."""

from collections import Counter
from typing import Any

from semihvision.cli.output import print_json, print_table
from semihvision.cli.parsing import JSON_HELP, dispatch, parser
from semihvision.core.errors import InputError


def run(argv: list[str]) -> int:
    """Dispatches the verbs."""
    summary = "parts, shapes and parameter counts of a preset"
    return dispatch("models", {"show": (show, summary)}, argv)


def show(argv: list[str]) -> int:
    """Prints what a preset is made of; no weights are made for it."""
    made = parser("models show", "Parts, shapes and parameter counts of a preset.")
    made.add_argument("preset", type=str, help="preset: tiny or 8b")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    document = describe(arguments.preset)
    if arguments.json:
        print_json(document)
        return 0
    columns = ("tower", "input px", "features", "grid", "channels", "parameters")
    rows = [
        (
            tower["name"],
            tower["input_side_px"],
            tower["features"],
            f"{tower['grid_side']}x{tower['grid_side']}",
            tower["dim"],
            f"{tower['parameters']:,}",
        )
        for tower in document["towers"]
    ]
    print_table(f"Towers of {arguments.preset}", columns, rows)
    weights = [
        (
            number,
            tower["weights"] or "none: starts random",
            tower["position_rule"] or "own grid",
            tower["dtype"] or "model's",
        )
        for number, tower in enumerate(document["towers"])
    ]
    print_table("Weights", ("#", "timm's hub name", "positions", "dtype"), weights)
    parts = [(name, f"{count:,}") for name, count in document["parts"].items()]
    parts.append(("total", f"{document['parameters']:,}"))
    print_table("Parts", ("part", "parameters"), parts)
    print_table("Sizes", ("size", "value"), document["sizes"].items())
    return 0


def describe(name: str) -> dict[str, Any]:
    """The document of ``--json``.

    Args:
        name: Preset.

    Raises:
        InputError: There is no such preset.
    """
    from models.modeling import PMCCambrian
    from models.parts import PARTS, part_of

    try:
        model = PMCCambrian.from_preset(name, device="meta")
    except ValueError as error:
        raise InputError(str(error)) from None
    counts: Counter[str] = Counter()
    for parameter_name, parameter in model.named_parameters():
        counts[part_of(parameter_name)] += parameter.numel()
    config, text = model.config, model.config.text_config
    return {
        "preset": name,
        "parameters": counts.total(),
        "parts": {part: counts[part] for part in PARTS},
        "towers": [
            {
                "name": spec.name,
                "timm_model": spec.timm_model,
                "weights": spec.weights,
                "position_rule": spec.position_rule,
                "dtype": spec.dtype,
                "input_side_px": spec.input_side_px,
                "features": spec.features,
                "grid_side": spec.grid_side,
                "dim": spec.dim,
                "parameters": sum(parameter.numel() for parameter in tower.parameters()),
            }
            for spec, tower in zip(config.tower_specs, model.towers, strict=True)
        ],
        "sizes": {
            "vision width": config.vision_hidden_size,
            "query grids": list(config.query_sides),
            "image grid": config.image_side,
            "connector layers": config.connector_depth,
            "samplers after decoder layers": list(config.sampler_layers),
            "language width": text.hidden_size,
            "decoder layers": text.num_hidden_layers,
            "vocabulary": text.vocab_size,
            "longest sequence": config.max_sequence_length,
            "tokenizer": config.tokenizer,
        },
    }
