"""Answers are written once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semihvision.core.errors import InputError
from semihvision.training import PredictionWriter


def test_several_devices_are_refused(tmp_path: Path) -> None:
    writer, trainer = PredictionWriter(str(tmp_path / "answers.jsonl")), SimpleNamespace()
    trainer.world_size = 2
    stage: Any = None
    with pytest.raises(InputError, match="one device, not on 2"):
        writer.on_predict_start(trainer, stage)  # type: ignore[arg-type]
    trainer.world_size = 1
    writer.on_predict_start(trainer, stage)  # type: ignore[arg-type]
    assert (tmp_path / "answers.jsonl").read_text() == ""
