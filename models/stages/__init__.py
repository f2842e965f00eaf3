"""The three stages of PMC-Cambrian as LightningModules.

| stage | trains | starts from |
|---|---|---|
| `ConnectorAlignment` | projectors, connector, query, newline, samplers, mm_projector | a preset |
| `InstructionTuning` | those and the language model | stage 1 |
| `Annealing` | as stage 2, on expert data, rate to zero | stage 2 |

Sources: what is trained in stages 1 and 2 is from the authors' scripts (paper.md section 2); that
stage 3 trains the same parts as stage 2 is our choice, the authors' own is not known. The towers
stay frozen in every stage.
"""

from models.stages.base import Stage

_CONNECTOR = ("projectors", "query", "connector", "mm_projector", "newline", "samplers")


class ConnectorAlignment(Stage):
    """Stage 1: aligns the connector with a frozen language model on captions."""

    parts = _CONNECTOR


class InstructionTuning(Stage):
    """Stage 2: tunes connector and language model on instructions."""

    parts = (*_CONNECTOR, "language_model")


class Annealing(Stage):
    """Stage 3 (-AN): goes on with high-quality, expert data while the rate falls to zero."""

    parts = (*_CONNECTOR, "language_model")


__all__ = ["Annealing", "ConnectorAlignment", "InstructionTuning", "Stage"]
