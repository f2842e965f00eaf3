"""One kernel updates the weights where all are on GPUs; on a CPU nothing changes."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from memory_samples import MemorySamples
from training_runs import fit

from models import ConnectorAlignment
from models.stages import optimiser
from models.stages.optimiser import adamw_with_cosine, all_on_gpus, rates_by_part
from models.stages.steps import Steps
from semihvision.core.errors import InputError
from semihvision.training.throughput import gradient_norm


def groups(*devices: str) -> list[dict[str, Any]]:
    """Groups of one parameter each, on devices that need not be here."""
    return [{"params": [SimpleNamespace(device=torch.device(name))]} for name in devices]


def test_all_parameters_must_be_on_gpus() -> None:
    assert all_on_gpus(groups("cuda:0", "cuda:1"))
    # Shards in host memory.
    assert not all_on_gpus(groups("cuda:0", "cpu"))


def test_a_rate_of_its_own_is_taken_as_it_is_and_none_may_train_nothing() -> None:
    parts = ("newline", "query", "towers")
    assert rates_by_part(parts, 1e-3, samplers=1e-4, towers=None) == {
        "newline": 1e-3,
        "query": 1e-4,
        "towers": 1e-3,
    }
    for wrong in ({"samplers": 0.0, "towers": None}, {"samplers": None, "towers": -1.0}):
        with pytest.raises(InputError, match="expected more than 0"):
            rates_by_part(parts, 1e-3, **wrong)
    # A part that is not trained has no rate.
    assert rates_by_part(("newline",), 1e-3, samplers=0.0, towers=None) == {"newline": 1e-3}


def test_a_cpu_keeps_the_optimizer_it_had() -> None:
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 8)) for _ in range(2)]
    ours: Any = adamw_with_cosine(
        [{"params": weights[:1], "lr": 1e-2, "name": "newline"}],
        steps=4,
        warmup_fraction=0.0,
        weight_decay=0.1,
        beta2=0.98,
    )
    plain = torch.optim.AdamW(weights[1:], lr=1e-2, weight_decay=0.1, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(plain, 4)
    assert not ours["optimizer"].defaults["fused"]
    for _ in range(4):
        for weight, optimizer in zip(weights, (ours["optimizer"], plain), strict=True):
            weight.grad = weight.detach() ** 2 + 1
            optimizer.step()
        ours["lr_scheduler"]["scheduler"].step()
        schedule.step()
    torch.testing.assert_close(weights[0], weights[1])


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
)
def test_gradients_of_a_fused_optimizer_are_clipped_in_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lightning itself refuses this, for the sake of float16's scaler.
    monkeypatch.setattr(optimiser, "all_on_gpus", lambda _: True)
    stage = ConnectorAlignment()
    norms: list[float] = []

    class Norm(Callback):
        def on_before_zero_grad(self, trainer: L.Trainer, *_: Any) -> None:
            norms.append(gradient_norm(stage.network.parameters()))

    trainer = fit(
        stage,
        MemorySamples(stage, batch_size=2),
        folder=tmp_path,
        max_steps=2,
        precision="bf16-mixed",
        gradient_clip_val=1e-3,
        callbacks=[Norm()],
    )
    assert trainer.optimizers[0].defaults["fused"]
    assert norms[-1] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
)
@pytest.mark.parametrize("scaled", [False, True])
def test_gradients_may_overflow_only_where_a_scaler_leaves_the_step_out(
    scaled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ConnectorAlignment()

    class Overflow(Callback):
        def on_train_start(self, *_: Any) -> None:
            newline: Any = stage.network.newline
            newline.register_hook(lambda grad: grad * torch.inf)
            # Lightning clips no gradients of a fused optimizer beside a scaler.
            assert bool(stage.trainer.optimizers[0].defaults["fused"]) != scaled

    if scaled:
        # On a CPU there is none.
        monkeypatch.setattr(Steps, "scaler", object())
    monkeypatch.setattr(optimiser, "all_on_gpus", lambda _: True)
    expected: Any = nullcontext() if scaled else pytest.raises(InputError, match="gradients have")
    with expected:
        fit(
            stage,
            MemorySamples(stage, batch_size=2),
            folder=tmp_path,
            max_steps=1,
            callbacks=[Overflow()],
        )
