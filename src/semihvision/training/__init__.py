"""Lightning callbacks of a training run."""

from semihvision.training.callbacks import ModelFolder, PredictionWriter
from semihvision.training.checkpointing import ResumableCheckpoint

__all__ = ["ModelFolder", "PredictionWriter", "ResumableCheckpoint"]
