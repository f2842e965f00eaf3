"""What a run and a validation tell, read back from the MLflow store."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_runs import fit, run_forked

from data_modules import VQARADDataModule
from models import InstructionTuning
from models.batch_work import BatchWork
from models.flops import PEAK_BF16_FLOPS, Flops, StepFlops
from models.modeling import PMCCambrian
from semihvision.core.batch import Example, Turn
from semihvision.core.errors import InputError
from semihvision.tracking import TRAIN, lightning_logger, metric_history, store_client
from semihvision.training import Telemetry, ValidationReport
from semihvision.training.throughput import FlopCounter, Window, gradient_norm, peak_flops, speed
from semihvision.training.validation_report import _answer, evenly, group_sums, may_be_shown

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
    "ignore:Total length of:UserWarning",
    "ignore:FSDP2-wrapped module:UserWarning",
)


def run(twin: Path, **trainer: Any) -> tuple[L.Trainer, InstructionTuning, VQARADDataModule]:
    stage = InstructionTuning(max_length=256, max_new_tokens=2)
    data = VQARADDataModule(
        root=str(twin), processor=stage.processor, batch_size=2, validation_fraction=0.4, seed=3
    )
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": lightning_logger(TRAIN, "telemetry"),
        "callbacks": [Telemetry(), ValidationReport(generations=3)],
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    return L.Trainer(**(settings | trainer)), stage, data


def test_a_run_logs_speed_and_waste_in_one_call_a_step(
    twin: Path, mlflow_store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.3")
    trainer, stage, data = run(
        twin,
        default_root_dir=tmp_path,
        max_steps=2,
        log_every_n_steps=1,
        accumulate_grad_batches=2,
        gradient_clip_val=1e-6,
        limit_val_batches=2,
        val_check_interval=4,
    )
    calls: list[set[str]] = []
    logger: Any = trainer.logger
    log_metrics = logger.log_metrics

    def noted(metrics: dict[str, float], step: int | None = None) -> None:
        calls.append(set(metrics))
        log_metrics(metrics, step)

    monkeypatch.setattr(logger, "log_metrics", noted)
    trainer.fit(stage, datamodule=data)

    steps = [names for names in calls if "train/loss" in names]
    assert len(steps) == 2
    assert {
        "train/gradient_norm",
        "train/learning_rate/language_model",
        "train/tokens_per_s",
        "train/images_per_s",
        "train/padding_percent",
        "train/data_wait_percent",
        "train/peak_memory_gib",
        "train/tflops_per_s_and_device",
    } <= steps[0]
    # No utilisation: a CPU has no peak that is known.
    assert "train/mfu" not in steps[0]
    metrics = store_client().get_run(logger.run_id).data.metrics
    assert metrics["train/images_per_s"] > 0
    assert 0 <= metrics["train/padding_percent"] < 100
    assert 0 < metrics["train/data_wait_percent"] < 100
    # Clipped, it would be at most 1e-6.
    assert metrics["train/gradient_norm"] > 1e-3
    assert metrics["data/refused"] == 0
    assert len(metric_history(logger.run_id, "train/tokens_per_s")) == 2
    assert any(name.startswith("system/") for name in metrics)

    by_source = metrics["validation/loss_by_source/vqa_rad"]
    assert by_source == pytest.approx(metrics["validation/loss"], rel=1e-5)
    folder = mlflow_store.artifacts(logger.run_id)
    (file,) = folder.glob("generations-step-*.json")
    table = json.loads(file.read_text())
    assert set(table["columns"]) >= {"id", "question", "reference", "answer", "image"}
    assert len(table["data"]) == 3
    pictures = [row[table["columns"].index("image")]["filepath"] for row in table["data"]]
    assert all((folder / picture).is_file() for picture in pictures)


def test_losses_by_row_add_up(twin: Path) -> None:
    stage = InstructionTuning(max_length=256)
    stage.configure_model()
    data = VQARADDataModule(root=str(twin), processor=stage.processor, batch_size=3)
    batch = next(iter(data.test_dataloader()))
    inputs: Any = {k: v for k, v in batch.items() if k != "example_ids"}
    network: Any = stage.network
    network.eval()
    for kind in ("plain", "chunked"):
        network.loss_kind = kind
        with torch.no_grad():
            output = network(**inputs)
        assert output.row_loss_sums.shape == (3,)
        torch.testing.assert_close(output.row_loss_sums.sum(), output.loss_sum)
        alone = {**inputs, "labels": inputs["labels"].clone()}
        alone["labels"][1:] = -100
        with torch.no_grad():
            first = network(**alone).loss_sum
        torch.testing.assert_close(output.row_loss_sums[0], first)


def example(number: int, source: str, *derived_from: str) -> Example:
    return Example(
        example_id=f"{source}/{number}#q",
        source=source,
        split="validation",
        turns=(Turn("human", "?"), Turn("gpt", "!")),
        images=(),
        modality="",
        derived_from=(source, *derived_from),
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=12))
def test_groups_are_the_same_in_every_process_and_add_up(drawn: list[tuple[str, int]]) -> None:
    examples = [example(i, source) for i, (source, _) in enumerate(drawn)]
    losses = {e.example_id: (1.5 * n, n) for e, (_, n) in zip(examples, drawn, strict=True)}
    ranks = [dict(list(losses.items())[rank::2]) for rank in range(2)]
    parts = [group_sums(part, examples, lambda e: e.source) for part in ranks]
    assert list(parts[0]) == list(parts[1]) == sorted({source for source, _ in drawn})
    for source in parts[0]:
        expected = sum(n for s, n in drawn if s == source)
        assert sum(part[source][1] for part in parts) == expected
        assert sum(part[source][0] for part in parts) == pytest.approx(1.5 * expected)


def test_samples_are_shown_only_if_all_their_cards_allow_redistribution() -> None:
    assert may_be_shown(example(0, "vqa_rad"))
    assert not may_be_shown(example(0, "mimic_cxr"))
    assert not may_be_shown(example(0, "vqa_rad", "mimic_cxr"))
    assert not may_be_shown(example(0, "pmc_instruct"))  # on conditions
    assert not may_be_shown(example(0, "a source without a card"))


def test_a_sample_whose_question_is_too_long_stands_in_the_table_with_the_reason() -> None:
    class Data:
        kind = "too_long"

        def prompts(self, split: str, indices: list[int]) -> None:
            raise InputError("900 tokens; expected at most 100", kind=self.kind)

    trainer: Any = SimpleNamespace(datamodule=Data())
    stage: Any = None
    assert _answer(trainer, stage, 0) == "not asked: 900 tokens; expected at most 100"
    Data.kind = "unusable"
    with pytest.raises(InputError, match="900"):
        _answer(trainer, stage, 0)


def test_restricted_samples_stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    report: Any = ValidationReport(restricted=True)
    with pytest.raises(InputError, match="not on this machine"):
        report.setup(None, None, "fit")
    without_table: Any = ValidationReport(restricted=True, generations=0)
    without_table.setup(None, None, "fit")
    with pytest.raises(InputError, match="generations -1"):
        ValidationReport(generations=-1)


@given(st.integers(1, 50), st.integers(1, 60))
def test_evenly_spread_items_are_different_and_in_order(items: int, most: int) -> None:
    found = evenly(range(items), most)
    assert len(found) == min(items, most)
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", PEAK_BF16_FLOPS["h100"]),
        ("NVIDIA H200", PEAK_BF16_FLOPS["h200"]),
        ("NVIDIA A100-SXM4-80GB", PEAK_BF16_FLOPS["a100"]),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_the_peak_is_that_of_the_named_gpu(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak


def test_speed_by_hand() -> None:
    work = BatchWork(tokens=600, pairs=0, scored_tokens=0, images=4, positions=800)
    flops = StepFlops(Flops(1e12, 2e12), Flops(3e12, 0), Flops(0, 0), recomputed=2e12)
    found = speed(Window(work, seconds=2.0, waited_s=0.5), flops, devices=2, peak=6e12)
    assert found == {
        "tokens_per_s": 300,
        "images_per_s": 2,
        "padding_percent": 25,
        "data_wait_percent": 25,
        "tflops_per_s_and_device": 1.5,
        "mfu_language_model": 3 / 24,
        "mfu": 6 / 24,
        "hfu": 8 / 24,
    }


def test_recomputed_work_is_counted_apart() -> None:
    model = PMCCambrian.from_preset("tiny", device="meta")
    parts = ("projectors", "connector", "query", "samplers", "mm_projector", "newline")
    work = BatchWork(tokens=100, pairs=5050, scored_tokens=10, images=2, positions=100)
    policies: Any = ("none", "full")
    none, full = (FlopCounter(model, parts, policy).count(work) for policy in policies)
    assert none.recomputed == 0
    assert none.language_model == full.language_model
    # The decoder's layers without its head, and the SVA layers without projectors.
    table: Any = model.get_output_embeddings()
    head = 2 * 10 * table.weight.numel()
    layers = full.language_model.forward - head
    assert layers < full.recomputed < layers + full.connector.forward


def test_the_gradient_norm_is_that_of_all_parameters() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad, parameters[2].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert gradient_norm(parameters) == 5


def test_two_processes_report_what_both_did(twin: Path, tmp_path: Path) -> None:
    def task() -> tuple[list[int], float, dict[str, float]]:
        torch.manual_seed(0)
        noted, stage = Noted(), InstructionTuning(max_length=256)
        data = VQARADDataModule(root=str(twin), processor=stage.processor, batch_size=1)
        trainer = fit(
            stage,
            data,
            folder=tmp_path,
            callbacks=[noted],
            max_steps=1,
            log_every_n_steps=1,
            limit_val_batches=0,
        )
        return noted.own, noted.seconds, {k: float(v) for k, v in trainer.callback_metrics.items()}

    ranks = run_forked(task, world_size=2)
    tokens, images = (sum(own[i] for own, _, _ in ranks) for i in range(2))
    assert all(own[0] < tokens for own, _, _ in ranks)
    for _, seconds, logged in ranks:
        assert logged["train/tokens_per_s"] == pytest.approx(tokens / seconds, rel=1e-3)
        assert logged["train/images_per_s"] == pytest.approx(images / seconds, rel=1e-3)
    norms = [logged["train/gradient_norm"] for _, _, logged in ranks]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    memory = [logged["train/peak_memory_gib"] for _, _, logged in ranks]
    assert memory[0] == memory[1]


class Noted(Telemetry):
    """Remembers what this process alone has counted."""

    def __init__(self) -> None:
        super().__init__(system_metrics=False)
        self.own: list[int] = []
        self.seconds = 0.0

    def _measure(self, trainer: L.Trainer) -> dict[str, float]:
        work = self._window.work
        self.own, self.seconds = [work.tokens, work.images], self._window.seconds
        return super()._measure(trainer)
