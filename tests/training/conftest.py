"""Data that runs of `fit` are tested on."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms in VQA-RAD's layout; nothing is written into it."""
    # Tests on a GPU machine, which has no pydantic, do without.
    from data_modules import vqa_rad

    root = tmp_path_factory.mktemp("vqa_rad")
    vqa_rad.write_twin(root, cases=6, seed=0)
    return root
