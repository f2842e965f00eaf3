"""Conversations about phantoms in LLaVA's form, for the twins."""

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantom_words import NUMBER_WORDS, lesions, other_side, sentence
from data_modules.phantoms import Factors


def described(factors: Factors, request: str = "Describe the image.") -> list[dict[str, str]]:
    """One request for a description and a true one."""
    told = f"{sentence(lesions(factors))} There is {other_side(factors)}."
    return [{"from": "human", "value": request}, {"from": "gpt", "value": told}]


def asked(factors: Factors) -> list[dict[str, str]]:
    """Questions about organ, place and number, each with its true answer."""
    organ = ORGANS[factors.organ]
    pairs = (
        ("Which organ does the image show?", f"It shows the {factors.organ}."),
        ("Where is the abnormality?", f"It lies in the {organ.site(factors.side)}."),
        ("How many lesions are there?", f"I can see {NUMBER_WORDS[factors.number]}."),
    )
    return [
        {"from": role, "value": text}
        for question, answer in pairs
        for role, text in (("human", question), ("gpt", answer))
    ]


def shown(turns: list[dict[str, str]], *, first: bool) -> list[dict[str, str]]:
    """The turns with the image before or after the first question, as LLaVA-Med has both."""
    question = turns[0]["value"]
    value = f"<image>\n{question}" if first else f"{question}\n<image>"
    return [{**turns[0], "value": value}, *turns[1:]]
