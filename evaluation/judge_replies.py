"""Reading what a judge replies: the reference lists of step 1, the one number of step 2."""

import re
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

MAX_SCORE = 5.0
MAX_KEY_POINTS = 10

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)")


class ReferenceLists(BaseModel):
    """What the judge must find in an answer."""

    model_config = ConfigDict(extra="forbid")

    key_points: list[str]
    reasoning_steps: list[str]
    evidence: list[str]

    @field_validator("key_points", "reasoning_steps", "evidence")
    @classmethod
    def _not_empty(cls, items: list[str]) -> list[str]:
        if not items or not all(item.strip() for item in items):
            raise ValueError("expected at least one item, and no empty one")
        return items

    @field_validator("key_points")
    @classmethod
    def _at_most_ten(cls, items: list[str]) -> list[str]:
        if len(items) > MAX_KEY_POINTS:
            raise ValueError(f"expected at most {MAX_KEY_POINTS} key points")
        return items


class Score(NamedTuple):
    """A score, or why there is none."""

    value: float | None
    reason: str = ""


def parse_score(reply: str) -> Score:
    """Reads the one number of a reply: "3", "3.5", "Score: 3.5", "**4**".

    Refused: no number; a number outside 0 to 5 (it is not clamped); two different numbers ("4/5",
    "3 or 4"), since which one is meant would be a guess. Scores may be any fraction.
    """
    numbers = {float(number) for number in _NUMBER.findall(reply)}
    if len(numbers) != 1:
        found = "no number" if not numbers else f"{len(numbers)} different numbers"
        return Score(None, f"{found} in the reply; expected one from 0 to 5")
    value = numbers.pop()
    if not 0 <= value <= MAX_SCORE:
        return Score(None, f"{value:g} in the reply; expected a number from 0 to 5")
    return Score(value)
