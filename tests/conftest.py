"""Fixtures that every room shares."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def real_data_folder(relative: str) -> Path:
    """A folder or file of the shared real data; skips where absent, fails under CI=true."""
    shared = Path(os.environ.get("SEMIHVISION_REAL_DATA", REPOSITORY.parent / "shared"))
    path = shared / relative
    if not path.exists():
        message = f"real data {relative!r} not found; set SEMIHVISION_REAL_DATA to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def vqa_rad_root() -> Path:
    """The whole VQA-RAD in its owners' layout."""
    return real_data_folder("data/vqa_rad")


@pytest.fixture(scope="session")
def mumc_predictions() -> Path:
    """The published prediction files of MUMC on VQA-RAD."""
    return real_data_folder("data/vqa_rad_mumc_predictions")


@pytest.fixture(scope="session")
def golden_square() -> Path:
    """Inputs, weights and outputs of the official Cambrian-1 code, tiny and square."""
    return real_data_folder("golden/cambrian_square.safetensors")
