"""The same runs on a GPU: sharded over one, in bfloat16, compiled, saved in the background."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_samples import MemorySamples
from training_runs import Losses, fit, read_losses

from models import InstructionTuning
from models.lora import LoRASettings
from semihvision.training import ModelFolder, ResumableCheckpoint

pytestmark = [
    pytest.mark.gpu,
    # Notes of the libraries of a GPU machine, which are not those of `constraints.txt`.
    pytest.mark.filterwarnings("ignore"),
]


def run(folder: Path, *, steps: int = 6, every: int = 100, **settings: Any) -> Any:
    """Losses of a run, by step."""
    trainer = {name: settings.pop(name) for name in ("strategy", "precision") if name in settings}
    torch.manual_seed(7)
    folder.mkdir(exist_ok=True)
    stage = InstructionTuning(max_length=256, learning_rate=1e-3, **settings)
    fit(
        stage,
        MemorySamples(stage),
        folder=folder,
        accelerator="gpu",
        max_steps=steps,
        gradient_clip_val=1.0,
        callbacks=[
            ResumableCheckpoint(str(folder / "checkpoints"), every_n_steps=every),
            ModelFolder(str(folder / "model")),
            Losses(folder / "losses.jsonl"),
        ],
        **trainer,
    )
    return read_losses(folder / "losses.jsonl")


SWITCHES: dict[str, dict[str, Any]] = {
    "sharded": {"strategy": "fsdp"},
    "full checkpointing": {"strategy": "fsdp", "activation_checkpointing": "full"},
    "selective checkpointing": {"activation_checkpointing": "selective"},
    "host memory": {"strategy": "fsdp", "cpu_offload": True},
    "chunked": {"strategy": "fsdp", "loss": "chunked"},
    "compiled": {"strategy": "fsdp", "compile_blocks": True},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_change_no_loss(name: str, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain")
    assert run(tmp_path / "switched", **SWITCHES[name]) == pytest.approx(plain, abs=5e-3)


def test_bfloat16_is_close_and_goes_on_from_a_background_checkpoint(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "strategy": "fsdp",
        "precision": "bf16-mixed",
        "lora": LoRASettings(rank=4, alpha=8.0, dropout=0.1),
    }
    whole = run(tmp_path / "whole", every=2, **settings)
    exact = run(tmp_path / "exact", **(settings | {"precision": "32-true"}))
    assert whole == pytest.approx(exact, abs=0.1)
    shutil.rmtree(tmp_path / "whole" / "checkpoints" / "step-000000006")
    (tmp_path / "whole" / "losses.jsonl").unlink()
    resumed = run(tmp_path / "whole", every=2, **settings)
    assert set(resumed) == {5, 6}
    assert resumed == pytest.approx({step: whole[step] for step in (5, 6)}, abs=1e-3)
