"""What each stage changes, and how fast: the table of docs/stages.md against one real step."""

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from memory_samples import MemorySamples
from omegaconf import OmegaConf

from data_modules.packing import Packing
from models import Annealing, ConnectorAlignment, InstructionTuning
from models.lora import LoRASettings, is_adapter
from models.parts import PARTS, part_of
from models.stages import Stage

REPOSITORY = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- stage contracts -->", "<!-- end of stage contracts -->"
STAGES: dict[str, type[Stage]] = {
    "stage1": ConnectorAlignment,
    "stage2": InstructionTuning,
    "stage3": Annealing,
}

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
)


def configured(name: str) -> tuple[Stage, dict[str, Any]]:
    """A tiny model of the stage with the rates and schedule of its 8B configuration."""
    settings: Any = OmegaConf.to_container(
        OmegaConf.load(REPOSITORY / "configs" / "train" / f"{name}.yaml")
    )
    arguments = settings["model"]["init_args"]
    assert settings["model"]["class_path"].endswith("." + STAGES[name].__name__)
    rates = ("learning_rate", "sampler_learning_rate", "tower_learning_rate", "weight_decay")
    return STAGES[name](**{key: arguments[key] for key in rates if key in arguments}), settings


@pytest.mark.parametrize("name", STAGES)
def test_rows_are_packed_and_divide_among_devices(name: str) -> None:
    arguments = configured(name)[1]["data"]["init_args"]
    packing = Packing(**arguments["packing"])
    # A sample as long as the stage allows fits a row, and eight devices waste nothing.
    model = configured(name)[1]["model"]["init_args"]
    assert packing.tokens >= model["max_length"]
    assert arguments["global_batch_size"] % (8 * arguments["batch_size"]) == 0
    STAGES[name](**{key: model[key] for key in ("loss", "attention", "activation_checkpointing")})


def rates_of(stage: Stage) -> dict[str, float]:
    return {part: stage.part_rates.get(part, 0.0) for part in PARTS}


def table() -> str:
    stages = {name: configured(name) for name in STAGES}
    heads = [f"{name[:5]} {name[5:]}, `{cls.__name__}`" for name, cls in STAGES.items()]
    rows = [["part", *heads], ["---"] * 4]
    for part in PARTS:
        rates = [rates_of(stage)[part] for stage, _ in stages.values()]
        rows.append([f"`{part}`", *(f"{rate:.0e}" if rate else "frozen" for rate in rates)])
    schedules = [
        f"{100 * s['model']['init_args']['warmup_fraction']:.0f} %" for _, s in stages.values()
    ]
    rows.append(["warm-up, then cosine to 0", *schedules])
    data = [settings["data"]["init_args"] for _, settings in stages.values()]
    batches = [f"{d['global_batch_size']} of {d['packing']['tokens']:,} tokens" for d in data]
    rows.append(["packed rows a step", *batches])
    uses = [", ".join(s["data"]["init_args"]["uses"]) for _, s in stages.values()]
    rows.append(["trained on", *uses])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def one_step(stage: Stage, folder: Path) -> dict[str, float]:
    """Largest change of each parameter by one step at the peak rate."""
    stage.warmup_fraction = 0.0
    stage.configure_model()
    before = {name: value.clone() for name, value in stage.network.named_parameters()}
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(stage, datamodule=MemorySamples(stage, batch_size=4))
    assert all(math.isclose(g["lr"], 0, abs_tol=1e-12) for g in trainer.optimizers[0].param_groups)
    return {
        name: float((value - before[name]).detach().abs().max())
        for name, value in stage.network.named_parameters()
    }


@pytest.mark.parametrize("name", STAGES)
def test_a_step_changes_each_part_at_its_rate_and_no_other(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage, _ = configured(name)
    changed = dict.fromkeys(PARTS, 0.0)
    for parameter, change in one_step(stage, tmp_path).items():
        part = part_of(parameter)
        changed[part] = max(changed[part], change)
    # AdamW's first step moves every weight with a gradient by the rate itself.
    assert changed == pytest.approx(rates_of(stage), rel=0.02)


def test_with_adapters_the_language_model_itself_stays(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = InstructionTuning(learning_rate=1e-3, lora=LoRASettings(rank=2, alpha=4.0))
    for name, change in one_step(stage, tmp_path).items():
        if part_of(name) == "towers" or (
            part_of(name) == "language_model" and not is_adapter(name)
        ):
            assert change == 0, name
        elif "lora_A" not in name:
            # A map down has no gradient while the map up is zero.
            assert change == pytest.approx(1e-3, rel=0.02), name


@pytest.mark.parametrize("file", ["docs/stages.md", "README.md"])
def test_the_documented_table_is_the_configured_one(file: str) -> None:
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    assert BEGIN in text, f"{file} lacks {BEGIN}"
    documented = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert documented == table()


def test_adapters_of_a_stage_that_does_not_train_the_language_model_are_refused() -> None:
    with pytest.raises(ValueError, match="does not train the language model"):
        ConnectorAlignment(lora=LoRASettings())
