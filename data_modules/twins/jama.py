"""The twin of JAMA Clinical Challenge: invented demo cases about phantoms."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from data_modules.jama_answers import LETTERS, OPTION_FIELDS
from data_modules.phantoms import Factors, draw
from data_modules.twins.planting import write_lines


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes invented demo cases in our form: `jama.jsonl` and drawn phantoms in `images/`.

    Texts come from `jama_demo.jsonl` one folder up and repeat after eight cases, with another
    drawing and another order of the options; right answers are spread evenly over the letters.

    Args:
        root: Folder to write to; made if it is not there.
        cases: How many.
        seed: Seed of drawings and option orders.
    """
    write_lines(root / "jama.jsonl", demo_rows(root, cases, seed))


def demo_rows(root: Path, cases: int, seed: int) -> list[dict[str, Any]]:
    """Draws the images and returns the cases."""
    lines = (files("data_modules") / "jama_demo.jsonl").read_text(encoding="utf-8").splitlines()
    demos = [json.loads(line) for line in lines]
    (root / "images").mkdir(parents=True, exist_ok=True)
    return [_demo_row(root, demos[n % len(demos)], n, seed) for n in range(cases)]


def _demo_row(root: Path, demo: dict[str, Any], number: int, seed: int) -> dict[str, Any]:
    case_id = f"demo-{number + 1:02}"
    images = []
    if demo["factors"] is not None:
        images = [f"images/{case_id}.png"]
        draw(Factors(*demo["factors"]), (seed, number)).image().save(root / images[0])
    turn = (number + seed) % len(LETTERS)
    options = demo["options"][-turn:] + demo["options"][:-turn] if turn else demo["options"]
    right = demo["options"][demo["answer"]]
    return {
        "id": case_id,
        "link": f"demo:{case_id}",
        "question": demo["question"],
        **dict(zip(OPTION_FIELDS, options, strict=True)),
        "diagnosis": demo["diagnosis"],
        "answer_idx": LETTERS[options.index(right)],
        "answer": right,
        "explanation": demo["explanation"],
        "field": demo["field"],
        "images": images,
    }
