"""What the tracker knows of a run that goes on."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from semihvision.tracking import TRAIN, lightning_logger
from semihvision.training.callbacks import RunProvenance


def save(logger: Any, **counts: float) -> None:
    """Logs the provenance of a run with these counts."""
    parser = SimpleNamespace(dump=lambda config, skip_none: "seed_everything: 0\n")
    data = SimpleNamespace(data_hash="abc", summary=lambda: counts)
    trainer: Any = SimpleNamespace(loggers=[logger], datamodule=data)
    stage: Any = SimpleNamespace(init_from_hash="def")
    RunProvenance(parser=parser, config=None).save_config(trainer, stage, "fit")  # type: ignore[arg-type]


def test_counts_that_have_changed_do_not_end_a_run_that_goes_on(
    mlflow_store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = lightning_logger(TRAIN, "provenance")
    save(logger, refused=0, shortened=2)
    with caplog.at_level(logging.WARNING):
        save(lightning_logger(TRAIN, "again", run_id=logger.run_id), refused=1, shortened=2)
    found = mlflow_store.run(logger.run_id).data
    assert found.params == {"refused": "0", "shortened": "2"}
    assert found.tags["resumed/refused"] == "1"
    assert "resumed/shortened" not in found.tags
    assert found.tags["data_hash"] == "abc"
    assert found.tags["init_from_hash"] == "def"
    assert "refused is 1, was 0" in caplog.text
