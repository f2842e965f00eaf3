"""PMC-Cambrian: architecture, processing, checkpoints and training stages.

Names are imported on first use: ``import models`` itself loads no tensor library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.checkpoint import load_official_checkpoint
    from models.configuration import PMCCambrianConfig
    from models.modeling import PMCCambrian
    from models.processing import PMCCambrianProcessor
    from models.stages import Annealing, ConnectorAlignment, InstructionTuning

__all__ = [
    "Annealing",
    "ConnectorAlignment",
    "InstructionTuning",
    "PMCCambrian",
    "PMCCambrianConfig",
    "PMCCambrianProcessor",
    "load_official_checkpoint",
]

_MODULES = {
    "Annealing": "models.stages",
    "ConnectorAlignment": "models.stages",
    "InstructionTuning": "models.stages",
    "PMCCambrian": "models.modeling",
    "PMCCambrianConfig": "models.configuration",
    "PMCCambrianProcessor": "models.processing",
    "load_official_checkpoint": "models.checkpoint",
}

_KNOWN_TO_AUTO_CLASSES = ("PMCCambrian", "PMCCambrianConfig", "PMCCambrianProcessor")
"""Whoever takes one of these from here can also load model folders by transformers' auto classes;
``import models`` alone cannot see to that, since it loads no transformers."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    found = getattr(import_module(_MODULES[name]), name)
    if name in _KNOWN_TO_AUTO_CLASSES:
        import_module("models.export.auto_classes").register_auto_classes()
    return found
