"""Lightning callbacks of a training run."""

from semihvision.training.callbacks import ModelFolder, PredictionWriter
from semihvision.training.checkpointing import ResumableCheckpoint
from semihvision.training.telemetry import Telemetry
from semihvision.training.validation_report import ValidationReport

__all__ = [
    "ModelFolder",
    "PredictionWriter",
    "ResumableCheckpoint",
    "Telemetry",
    "ValidationReport",
]
