"""Blocks of a tower that nothing is read of are not trained."""

from pathlib import Path

import lightning as L
import pytest
from memory_samples import MemorySamples

from models import InstructionTuning
from models.parts import PARTS
from models.presets import preset
from models.stages.unread import unread_parameters


def trained_stage() -> InstructionTuning:
    stage = InstructionTuning(train_parts=list(PARTS))
    stage.configure_model()
    return stage


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/clip-vit-large-patch14-336", {"backbone.blocks.23", "backbone.norm"}),
        ("siglip/CLIP-ViT-SO400M-14-384", set()),
    ],
)
def test_clip_is_read_at_its_last_layer_but_one_and_siglip_at_its_last(
    name: str, expected: set[str]
) -> None:
    (spec,) = (spec for spec in preset("8b").tower_specs if spec.name == name)
    unread = unread_parameters(spec)
    assert all(any(one.startswith(f"{part}.") for part in expected) for one in unread)
    assert all(any(one.startswith(f"{part}.") for one in unread) for part in expected)
    # A block's two norms, qkv, projection and two maps, and the final norm.
    assert len(unread) == 14 * bool(expected)


def test_only_what_is_read_is_trained() -> None:
    model = trained_stage().network
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    number = [spec.name for spec in model.config.tower_specs].index("tiny-clip")
    (unread,) = (unread_parameters(s) for s in model.config.tower_specs if s.name == "tiny-clip")
    assert unread
    assert frozen == {f"towers.{number}.{name}" for name in unread}


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
)
def test_every_trained_weight_gets_a_gradient(tmp_path: Path) -> None:
    stage = trained_stage()
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(stage, datamodule=MemorySamples(stage, batch_size=4))
    stepped = set(trainer.optimizers[0].state)
    named = dict(stage.network.named_parameters())
    assert {n for n, p in named.items() if p.requires_grad and p not in stepped} == set()
