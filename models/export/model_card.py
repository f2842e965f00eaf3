"""The README of a model folder: what the model is, what it was made from, what it must not do.

Everything in it comes from the folder's own files and from the cards of the sources; what they do
not say is named as not known.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.configuration import PMCCambrianConfig
from models.export.card_data import data_section
from models.export.markdown import table
from models.export.weights import WeightSummary
from models.weight_files import LINEAGE_FILE
from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json

_FRONT = """\
---
library_name: transformers
pipeline_tag: image-text-to-text
license: other
license_name: terms-of-the-data
license_link: README.md
tags: [medical, vision-language, pmc-cambrian]
---
"""

_LIMITS = """\
## Limits

**Research software and no medical device.** Not for diagnosis, treatment or any decision about a
patient. No clinical study was made with this model. It can state findings that are not in the image
and miss those that are; how sure its words sound says nothing about whether they are right.
A model trained on demonstration data knows drawn phantoms, not patients."""

_USE = """\
## Use

The folder holds its own code: read it, then trust it. Needed: `transformers`, `torch`, `timm`,
`pillow`.

```python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

folder = "{name}"
model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
image = {{"type": "image", "image": Image.open("image.png")}}
question = {{"type": "text", "text": "What does this image show?"}}
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": [image, question]}}],
    add_generation_prompt=True,
    tokenize=True,
)
new_tokens = model.generate(**inputs, max_new_tokens=64, do_sample=False)
print(processor.batch_decode(new_tokens, skip_special_tokens=True)[0])
```

With SemiHVision installed: `models.PMCCambrian.from_pretrained(folder)`, or
`semihvision evaluate --model FOLDER`."""

_NOT_RECORDED = "not recorded"


def model_card(folder: Path, *, name: str, weights: WeightSummary) -> str:
    """The card in Markdown.

    Args:
        folder: Holds ``config.json`` and, if the model was trained here, ``lineage.json``.
        name: Name of the model.
        weights: What was written.

    Raises:
        InputError: The lineage is not a list of objects, one per stage.
    """
    stages = _stages(folder / LINEAGE_FILE)
    sections = [
        f"# {name}",
        "PMC-Cambrian, a vision-language model for medical images (*SemiHVision*, Wang et al., "
        "arXiv 2410.14948), written by `semihvision convert to-hf`.",
        _model(PMCCambrianConfig.from_folder(folder), weights),
        _lineage(stages),
        data_section(stages),
        _LIMITS,
        _USE.format(name=name),
        "## Terms\n\nThe code in this folder is Apache-2.0. The weights were derived from the data "
        "above and from the towers and language model they started from, whose terms bind their "
        "use; this card is no legal advice.",
    ]
    return _FRONT + "\n" + "\n\n".join(sections) + "\n"


def _stages(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    stages = read_json(file)
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise InputError(f"{file}: expected a list of objects, one per stage")
    return stages


def _model(config: PMCCambrianConfig, weights: WeightSummary) -> str:
    towers = [
        (spec.name, f"{spec.input_side_px} px", f"{spec.grid_side} x {spec.grid_side}")
        for spec in config.tower_specs
    ]
    decoder = config.text_config
    facts = [
        ("parameters", f"{weights.num_parameters:,}"),
        ("stored as", f"{', '.join(weights.dtypes)}, {weights.num_bytes / 1e9:.3f} GB"),
        (
            "language model",
            f"{decoder.model_type}, {decoder.num_hidden_layers} layers, width "
            f"{decoder.hidden_size}",
        ),
        (
            "connector",
            f"spatial vision aggregator, {config.connector_depth} layers, "
            f"{len(config.sampler_layers)} more inside the language model",
        ),
        ("longest sequence", f"{config.max_sequence_length} tokens, images expanded"),
    ]
    return "\n\n".join(
        [
            "## Model",
            table(("", ""), facts),
            table(("vision tower", "input", "grid"), towers),
        ]
    )


def _lineage(stages: Sequence[Mapping[str, Any]]) -> str:
    if not stages:
        return (
            "## Lineage\n\n**Not recorded.** This model did not come out of a training stage of "
            "SemiHVision, or its record was lost."
        )
    names = ("steps", "data_hash", "init_from_hash", "semihvision_version", "git_commit")
    rows = []
    for i, stage in enumerate(stages, start=1):
        facts = {**stage}
        start = stage.get("checkpoint") or f"none (preset {stage.get('preset', '?')})"
        facts.setdefault("init_from_hash", start)
        if stage.get("git_dirty") == "true":
            facts["git_commit"] = f"{stage.get('git_commit')} with uncommitted changes"
        rows.append((i, stage.get("stage", _NOT_RECORDED), *(_fact(facts, n) for n in names)))
    header = ("", "stage", "steps", "data", "started from", "version", "commit")
    notes = [_how(i, stage) for i, stage in enumerate(stages, start=1)]
    text = "Hashes are SHA-256; `lineage.json` has all that was recorded."
    return "\n\n".join(["## Lineage", table(header, rows), *filter(None, notes), text])


def _how(number: int, stage: Mapping[str, Any]) -> str:
    """Where a stage's weights came from and whether it trained adapters; empty if neither."""
    towers = stage.get("tower_weights") or {}
    said = []
    if stage.get("checkpoint"):
        said.append(
            f"all but the towers is the published Cambrian-1 checkpoint `{stage['checkpoint']}`, "
            "whose terms, and those of its language model, go with the weights"
        )
    said += [
        f"tower `{name}` started from `{found['source']}` (hash {found['sha256']})"
        for name, found in towers.items()
    ]
    if stage.get("lora"):
        said.append("the language model was tuned by low-rank adapters, merged afterwards")
    return f"Stage {number}: {'; '.join(said)}." if said else ""


def _fact(stage: Mapping[str, Any], name: str) -> str:
    value = stage.get(name)
    return _NOT_RECORDED if value in (None, "") else str(value)
