"""Lightning callbacks of a training run."""

from semihvision.training.callbacks import ModelFolder, PredictionWriter

__all__ = ["ModelFolder", "PredictionWriter"]
