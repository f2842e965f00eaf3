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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
