"""`fit` reads owners' files directly: two steps on the data modules of sources with texts."""

from importlib import import_module
from pathlib import Path

import pytest

import data_modules
from data_modules.twins.folder_faults import write_faults
from semihvision.cli.main import main
from semihvision.core.card import CARD_MODULES
from semihvision.core.errors import InputError
from semihvision.tracking import TRAIN, ensure_experiment, store_client

pytestmark = pytest.mark.filterwarnings(
    # The advice and notes that `fit` itself hides from its users.
    "ignore:.*does not have many workers:UserWarning",
    "ignore:LightningCLI's args parameter:UserWarning",
    "ignore:Total length of:UserWarning",
    "ignore:Found .* module.s. in eval mode:UserWarning",
    # lightning 2.6 calls a method that jsonargparse 4.53 has renamed.
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning",
)

USES = {
    "EuroradDataModule": "captions",
    "PMCVQADataModule": "qa",
    "PMCInstructDataModule": "conversations",
    "Quilt1MDataModule": "captions",
    "RadiopaediaDataModule": "qa",
    "LLaVAMedDataModule": "conversations",
    "PubMedVisionDataModule": "conversations",
    "FolderDataModule": "captions",
}


def write(name: str, root: Path) -> Path:
    source = data_modules.SOURCE_CLASSES[name]
    if source == "folder":
        write_faults(root, cases=6, seed=0)
    else:
        import_module(CARD_MODULES[source]).write_twin(root, cases=6, seed=0)
    return root


@pytest.mark.parametrize("name", USES)
def test_a_data_module_has_samples_to_train_on(name: str, tmp_path: Path) -> None:
    made = getattr(data_modules, name)(str(write(name, tmp_path)), uses=[USES[name]])

    examples = made.examples("train")

    assert len(examples) >= 2
    assert all(example.turns[-1].role == "gpt" for example in examples)
    shown = [sum(turn.text.count("<image>") for turn in e.turns) for e in examples]
    assert shown == [len(example.images) for example in examples]
    assert len(made.data_hash) == 64


def test_jama_is_never_trained_on(tmp_path: Path) -> None:
    made = data_modules.JAMADataModule(str(write("JAMADataModule", tmp_path)))

    assert len(made.examples("test")) == 6
    with pytest.raises(InputError, match="no samples in split 'train'"):
        made.setup("fit")


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_two_steps_from_a_yaml_file(name: str, tmp_path: Path, mlflow_store: object) -> None:
    root = write(name, tmp_path / "twin")
    file = tmp_path / "fit.yaml"
    file.write_text(
        f"""
run_name: two steps on {name}
model:
  class_path: models.InstructionTuning
  init_args: {{preset: tiny, max_length: 384, max_new_tokens: 2}}
data:
  class_path: data_modules.{name}
  init_args: {{root: {root}, uses: [{USES[name]}], batch_size: 1, validation_fraction: 0.0}}
trainer:
  accelerator: cpu
  devices: 1
  max_steps: 2
  default_root_dir: {tmp_path}
  enable_checkpointing: false
  enable_progress_bar: false
  log_every_n_steps: 1
"""
    )

    assert main(["fit", "-c", str(file)]) in (0, 3)

    (run, *_) = store_client().search_runs([ensure_experiment(TRAIN)], max_results=1)
    assert run.info.run_name == f"two steps on {name}"
    assert run.info.status == "FINISHED"
