"""The three stages: what each trains, at which rates, and what it takes over and hands on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from models import Annealing, ConnectorAlignment, InstructionTuning, PMCCambrianConfig
from models.parts import PARTS, part_of
from models.presets import preset
from models.processing import PMCCambrianProcessor
from models.stages import Stage
from models.stages.handoff import check_handoff, read_lineage, write_lineage
from models.tokenizer import load_tokenizer
from models.weight_files import LINEAGE_FILE
from semihvision.core.batch import Batch, Turn
from semihvision.core.errors import InputError

CONNECTOR = {"projectors", "query", "connector", "mm_projector", "newline", "samplers"}
CONTRACTS = {
    ConnectorAlignment: CONNECTOR,
    InstructionTuning: CONNECTOR | {"language_model"},
    Annealing: CONNECTOR | {"language_model"},
}


class TwoBatches(L.LightningDataModule):
    """Two batches of one phantom-free image; enough for two steps."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.processor = stage.processor

    def batches(self) -> Iterator[Batch]:
        image = self.processor.prepare_image(Image.linear_gradient("L").convert("RGB"))
        for answer in ("left", "right"):
            turns = (Turn("human", "<image>\nWhich side?"), Turn("gpt", answer))
            yield self.processor.collate([self.processor.encode(answer, turns, [image])])

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(list(self.batches()), batch_size=None)  # type: ignore[arg-type]


def fit(stage: Stage, folder: Path, *, steps: int = 2) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(stage, datamodule=TwoBatches(stage))
    return trainer


pytestmark = pytest.mark.filterwarnings(
    # Two batches in memory need no loader processes, and no length to estimate.
    "ignore:.*does not have many workers:UserWarning",
    "ignore:The number of training batches:UserWarning",
    # Frozen towers stay in evaluation mode on purpose.
    "ignore:Found .* module.s. in eval mode:UserWarning",
    "ignore:You defined a `validation_step`:UserWarning",
)


@pytest.mark.parametrize("stage_class", CONTRACTS)
def test_a_stage_moves_its_parts_and_no_other(stage_class: type[Stage], tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = stage_class(learning_rate=1e-2, warmup_fraction=0.0)
    stage.configure_model()
    before = {name: value.clone() for name, value in stage.network.named_parameters()}
    fit(stage, tmp_path)
    moved = {
        part_of(name)
        for name, value in stage.network.named_parameters()
        if not torch.equal(value, before[name])
    }
    assert moved == CONTRACTS[stage_class]


def test_samplers_have_their_own_rate_and_all_rates_fall_to_zero(tmp_path: Path) -> None:
    stage = ConnectorAlignment(learning_rate=1e-2, sampler_learning_rate=1e-3, warmup_fraction=0.0)
    trainer = fit(stage, tmp_path, steps=1)
    groups = {group["name"]: group for group in trainer.optimizers[0].param_groups}
    assert set(groups) == CONNECTOR
    for name, group in groups.items():
        expected = 1e-3 if name in ("connector", "query", "samplers") else 1e-2
        assert group["initial_lr"] == expected
        assert group["lr"] == pytest.approx(0.0, abs=1e-12)


def test_parts_can_be_chosen_and_misspelt_ones_are_refused() -> None:
    everything = InstructionTuning(train_parts=list(PARTS))
    everything.configure_model()
    trained = {
        part_of(name)
        for name, parameter in everything.network.named_parameters()
        if parameter.requires_grad
    }
    assert trained == set(PARTS)
    with pytest.raises(InputError, match=r"train_parts \['tower'\]"):
        InstructionTuning(train_parts=["tower"])


def test_the_next_stage_takes_over_weights_and_history(tmp_path: Path) -> None:
    first = ConnectorAlignment()
    fit(first, tmp_path)
    first.save_model_folder(tmp_path / "one", data_hash="abc")
    second = InstructionTuning(init_from=str(tmp_path / "one"))
    second.configure_model()
    taken = second.network.state_dict()
    for name, value in first.network.state_dict().items():
        assert torch.equal(taken[name], value), name
    second.save_model_folder(tmp_path / "two")
    stages = [entry["stage"] for entry in read_lineage(tmp_path / "two")]
    assert stages == ["ConnectorAlignment", "InstructionTuning"]
    assert read_lineage(tmp_path / "one")[0]["data_hash"] == "abc"
    assert (tmp_path / "one" / LINEAGE_FILE).is_file()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Configuration and tokenizer of a model that the stages take over; it has no weights."""
    preset("tiny").save_pretrained(tmp_path)
    PMCCambrianProcessor.from_preset("tiny").save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_that_fits_is_taken(model_folder: Path) -> None:
    check_handoff(model_folder, wanted=preset("tiny"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: setattr(c, "tokenizer", "another"), "tokenizer 'another', not 'tiny'"),
        (lambda c: c.towers.pop(), "towers ["),
        (lambda c: c.towers[0].update(input_side_px=70), "towers.0.input_side_px 70, not "),
        (lambda c: setattr(c.text_config, "vocab_size", 7), "text_config.vocab_size 7, not"),
        (lambda c: setattr(c, "sampler_stride", 7), "sampler_stride 7, not "),
        (lambda c: setattr(c, "sampler_start", 9), "sampler_start 9, not "),
        (lambda c: setattr(c, "connector_depth", 5), "connector_depth 5, not "),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(  # type: ignore[no-untyped-def]
    change, message: str, model_folder: Path
) -> None:
    config: PMCCambrianConfig = preset("tiny")
    change(config)
    config.save_pretrained(model_folder)
    with pytest.raises(InputError, match="does not fit this stage's preset") as refusal:
        InstructionTuning(init_from=str(model_folder))
    assert message in str(refusal.value)


def test_a_foreign_tokenizer_is_refused_beside_every_other_difference(model_folder: Path) -> None:
    path = model_folder / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    rules = json.loads(text)
    first, second = (token for token, i in rules["model"]["vocab"].items() if i in (300, 301))
    vocabulary = rules["model"]["vocab"]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(rules), encoding="utf-8")
    config = preset("tiny")
    config.sampler_stride = 7
    config.save_pretrained(model_folder)
    with pytest.raises(InputError, match=r"sampler_stride 7, not \d; another tokenizer"):
        check_handoff(model_folder, wanted=preset("tiny"))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="the tokenizer cannot be loaded"):
        check_handoff(model_folder, wanted=preset("tiny"))
    path.unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        check_handoff(model_folder, wanted=preset("tiny"))


@pytest.mark.parametrize("text", ["{", '{"stage": "x"}', '["x"]'])
def test_a_damaged_lineage_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / LINEAGE_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"lineage\.json"):
        read_lineage(tmp_path)


@pytest.mark.parametrize(
    ("last", "stage"), [("ConnectorAlignment", Annealing), ("Annealing", InstructionTuning)]
)
def test_a_stage_that_is_left_out_or_gone_back_to_is_refused(
    last: str, stage: type[Stage], model_folder: Path
) -> None:
    write_lineage(model_folder, [{"stage": "from-cambrian"}, {"stage": last}])
    with pytest.raises(InputError, match=f"is {last}, which {stage.__name__} does not follow"):
        stage(init_from=str(model_folder))


@pytest.mark.parametrize("last", ["from-cambrian", "InstructionTuning", "Annealing"])
def test_the_stage_before_the_same_stage_and_models_from_elsewhere_are_taken(
    last: str, model_folder: Path
) -> None:
    write_lineage(model_folder, [{"stage": last}])
    assert Annealing(init_from=str(model_folder)).init_from == model_folder


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        Annealing(init_from=str(tmp_path / "nothing"))


def test_checkpoints_leave_frozen_towers_out_and_load_again() -> None:
    stage = ConnectorAlignment()
    stage.configure_model()
    checkpoint = {"state_dict": dict(stage.state_dict())}
    stage.on_save_checkpoint(checkpoint)
    assert not any(name.startswith("model.towers.") for name in checkpoint["state_dict"])
    stage.on_load_checkpoint(checkpoint)
    stage.load_state_dict(checkpoint["state_dict"], strict=True)
    trained = InstructionTuning(train_parts=["towers"])
    trained.configure_model()
    kept = {"state_dict": dict(trained.state_dict())}
    trained.on_save_checkpoint(kept)
    assert any(name.startswith("model.towers.") for name in kept["state_dict"])


@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
def test_prediction_gives_one_answer_a_sample(attention: Any) -> None:
    stage = InstructionTuning(max_new_tokens=3, attention=attention)
    stage.configure_model()
    image = stage.processor.prepare_image(Image.new("RGB", (20, 10)))
    turns = (Turn("human", "<image>\nWhich side?"),)
    samples = [stage.processor.encode_prompt(name, turns, [image]) for name in ("a", "b")]
    answers = stage.predict_step(stage.processor.collate(samples), 0)
    assert [row["id"] for row in answers] == ["a", "b"]
    assert answers[0]["answer"] == answers[1]["answer"]
    assert stage.network.language_model.config._attn_implementation == attention


def test_a_tokenizer_of_a_hub_comes_with_the_folder(tmp_path: Path) -> None:
    """A converted 8B brings its own; no hub is asked."""
    preset("8b").save_pretrained(tmp_path)
    own = load_tokenizer("tiny")
    PMCCambrianProcessor(preset("8b"), tokenizer=own).save_pretrained(tmp_path)
    stage = ConnectorAlignment(preset="8b", init_from=str(tmp_path))
    assert len(stage.processor.tokenizer) == len(own)
