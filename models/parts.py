"""The parts of PMC-Cambrian by which stages choose what to train.

A part is the first component of a parameter's name in `PMCCambrian`.
"""

PARTS = (
    "towers",
    "projectors",
    "query",
    "connector",
    "mm_projector",
    "newline",
    "samplers",
    "language_model",
)
"""towers: vision towers; projectors: per-tower projections to the vision width; query: start value
of the connector's queries; connector: its SVA layers; mm_projector: vision width to language
width; newline: end-of-row token; samplers: SVA layers inside the language model; language_model:
embeddings, decoder and head."""


def part_of(parameter_name: str) -> str:
    """Part that a parameter of `PMCCambrian` belongs to.

    Args:
        parameter_name: Name as ``model.named_parameters()`` gives it.

    Returns:
        One of `PARTS`.

    Raises:
        ValueError: The name belongs to no part, e.g. because it carries a wrapper's prefix.
    """
    part = parameter_name.split(".", 1)[0]
    if part not in PARTS:
        raise ValueError(
            f"parameter {parameter_name!r} belongs to no part; expected a name that starts with "
            f"one of {', '.join(PARTS)}"
        )
    return part
