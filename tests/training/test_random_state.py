"""Random generators go on where they were."""

import random
from pathlib import Path

import numpy as np
import torch

from semihvision.training.random_state import random_state, restore_random_state, seed_anew


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), random.random(), float(np.random.rand())


def test_saved_states_load_without_code_and_go_on(tmp_path: Path) -> None:
    random.gauss(0, 1)
    np.random.randn(1)
    torch.save(random_state(), tmp_path / "state.pt")
    expected = [draw() for _ in range(3)]
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draw() for _ in range(3)] == expected


def test_new_seeds_depend_on_every_part() -> None:
    drawn = set()
    for parts in ((1, 0), (1, 1), (2, 0), (1, 0)):
        seed_anew(*parts)
        drawn.add(draw())
    assert len(drawn) == 3
