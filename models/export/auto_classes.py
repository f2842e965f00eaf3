"""Makes transformers' auto classes know this model where this project is installed."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from models.configuration import PMCCambrianConfig
from models.export.processor import PMCCambrianAutoProcessor
from models.modeling import PMCCambrian


def register_auto_classes() -> None:
    """Lets auto classes load model folders without trusting the code inside; may be called twice.

    The classes' own `register_for_auto_class` is not used: it would make every `save_pretrained`
    copy our files, whose imports only work here. `models.export.folder` writes ones that travel.
    """
    AutoConfig.register(PMCCambrianConfig.model_type, PMCCambrianConfig, exist_ok=True)
    for auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):
        auto.register(PMCCambrianConfig, PMCCambrian, exist_ok=True)
    AutoProcessor.register(  # type: ignore[no-untyped-call]
        PMCCambrianConfig, PMCCambrianAutoProcessor, exist_ok=True
    )
