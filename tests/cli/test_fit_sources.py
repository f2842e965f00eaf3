"""Two steps of `fit` on every source: its twin, and the commands that its configuration names."""

import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from data_configs import CONFIGS, CPU_STAGE, DATA_CONFIGS, MIX, commands

import data_modules
from models.stages.handoff import read_lineage
from semihvision.cli.demo_data import write_twins
from semihvision.cli.main import main
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

TRAINED = [name for name in DATA_CONFIGS if name not in (MIX, "jama")]
TEXTLESS = ["deeplesion", "lld_mmri", "mama_mia"]
"""Sources whose owners ship no text at all."""
TWO_STEPS = shlex.split("--trainer.max_steps 2 --data.batch_size 1 --data.global_batch_size 1")
QUICK = shlex.split("--model.train_parts [language_model] --trainer.logger false")
"""Leaves out what takes most of the time: tracing towers that are trained, MLflow."""

Twin = Callable[[str], Path]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Twin:
    """Draws a source's twin where the configurations' paths lead, once; gives that place."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "configs").symlink_to(CONFIGS)

    @cache
    def draw(source: str) -> Path:
        write_twins(folder / "data", [source], cases=2, seed=0)
        return folder

    return draw


@pytest.fixture
def here(drawn: Twin, monkeypatch: pytest.MonkeyPatch, mlflow_store: object) -> Iterator[Twin]:
    """Like `drawn`, and commands run in that place, on one thread."""

    def enter(source: str) -> Path:
        folder = drawn(source)
        monkeypatch.chdir(folder)
        return folder

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield enter
    torch.set_num_threads(threads)


def model_folder(folder: Path) -> list[str]:
    """Arguments that leave only the callback that writes the model."""
    callback = f"{{class_path: semihvision.training.ModelFolder, init_args: {{folder: {folder}}}}}"
    return ["--trainer.callbacks", f"[{callback}]"]


def class_name(source: str) -> str:
    return next(name for name, own in data_modules.SOURCE_CLASSES.items() if own == source)


def module(source: str, folder: Path, **settings: Any) -> Any:
    return getattr(data_modules, class_name(source))(str(folder / "data" / source), **settings)


@pytest.mark.parametrize("source", TRAINED)
def test_the_commands_of_a_source_lead_to_a_model(source: str, here: Twin, tmp_path: Path) -> None:
    here(source)
    typed = commands(source)
    for argv in typed.before:
        assert main(argv) == 0
    model = tmp_path / "model"

    assert main([*typed.on_a_cpu(), *TWO_STEPS, *QUICK, *model_folder(model)]) == 0

    (entry,) = read_lineage(model)
    assert entry["steps"] == 2
    assert source in entry["data"]["sources"]
    assert entry["data"]["synthetic"][source] == entry["data"]["sources"][source]
    written = entry["data"]["producers"]
    assert "human" not in written
    assert ("template" in written) == any(argv[0] == "annotate" for argv in typed.before)
    assert written.keys() == {"template"} or source not in TEXTLESS


@pytest.mark.parametrize("source", [s for s in TRAINED if s not in (*TEXTLESS, "folder", "slake")])
def test_what_owners_ship_with_texts_can_be_read_directly(source: str, here: Twin) -> None:
    folder = here(source)
    assert main(commands(source).before[0]) == 0
    settings = {"uses": ["captions", "qa", "conversations"], "validation_fraction": 0.0}
    prepared = module(source, folder, records=[f"data/{source}.parquet"], **settings)

    direct = module(source, folder, **settings)

    assert len(direct.examples("train")) >= 2
    assert direct.examples("train") == prepared.examples("train")
    assert direct.data_hash == prepared.data_hash
    for example in direct.examples("train"):
        assert example.turns[-1].role == "gpt"
        shown = sum(turn.text.count("<image>") for turn in example.turns)
        assert shown == len(example.images)


@pytest.mark.slow
@pytest.mark.parametrize("source", TRAINED)
def test_the_commands_of_a_source_leave_a_traceable_run(source: str, here: Twin) -> None:
    folder, typed = here(source), commands(source)
    for argv in typed.before:
        assert main(argv) == 0
    assert main([*typed.on_a_cpu(), *TWO_STEPS]) == 0
    (run, *_) = store_client().search_runs([ensure_experiment(TRAIN)], max_results=1)
    assert run.info.run_name == f"tiny-data_modules.{class_name(source)}"
    assert run.info.status == "FINISHED"
    assert (folder / "runs" / run.info.run_name / "model" / "config.json").is_file()


def test_a_mix_of_annotated_and_other_sources(here: Twin, tmp_path: Path) -> None:
    sources = {"lld_mmri": "annotated.parquet", "vqa_rad": "parquet"}
    for source in sources:
        here(source)
        for argv in commands(source).before:
            assert main(argv) == 0
    chosen = {
        "records": "[" + ", ".join(f"data/{s}.{end}" for s, end in sources.items()) + "]",
        "roots": "{" + ", ".join(f"{s}: data/{s}" for s in sources) + "}",
        "source_weights": "{lld_mmri: 2.0}",
    }
    argv = ["fit", "-c", CPU_STAGE, "-c", f"configs/data/{MIX}.yaml", *TWO_STEPS, *QUICK]
    for name, value in chosen.items():
        argv += [f"--data.{name}", value]

    assert main([*argv, *model_folder(tmp_path / "model")]) == 0

    (entry,) = read_lineage(tmp_path / "model")
    assert entry["data"]["sources"].keys() == sources.keys()


@pytest.mark.parametrize("source", ["lld_mmri", "folder"])
def test_unannotated_records_are_named_with_the_commands_that_annotate_them(
    source: str, here: Twin
) -> None:
    folder = here(source)
    made = module(source, folder)
    with pytest.raises(InputError) as refused:
        made.setup("fit")
    said = str(refused.value)
    assert re.match(rf"{source}: (\d+) of \1 records have no text", said)
    typed = [line for line in said.splitlines() if line.startswith("  semihvision ")]
    assert f"semihvision prepare {source} --root {folder}/data/{source} " in typed[0]
    for line in typed:
        assert main(shlex.split(line)[1:]) == 0
    found = module(source, folder, records=[f"{source}.annotated.parquet"], validation_fraction=0)
    assert found.examples("train")


def test_the_rest_of_a_mix_is_trained_on_and_the_source_without_texts_is_named(
    here: Twin, caplog: pytest.LogCaptureFixture
) -> None:
    for source in ("deeplesion", "vqa_rad"):
        folder = here(source)
        assert main(commands(source).before[0]) == 0
    files = [f"data/{source}.parquet" for source in ("deeplesion", "vqa_rad")]
    roots = {source: str(folder / "data" / source) for source in ("deeplesion", "vqa_rad")}
    made = data_modules.SemiHVisionDataModule(files, roots, validation_fraction=0)

    made.setup("fit")

    assert "deeplesion: 2 of 2 records have no text" in caplog.text
    assert made.refused.counts() == {"unannotated": 2}
    assert {example.source for example in made.examples("train")} == {"vqa_rad"}


def test_fit_ends_with_this_message(here: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    here("deeplesion")
    prepare = commands("deeplesion").before[0]
    assert main(prepare) == 0
    argv = commands("deeplesion").on_a_cpu()
    capsys.readouterr()

    assert main([*argv, "--data.records", "[data/deeplesion.parquet]", *QUICK]) == 2

    said = capsys.readouterr().err
    assert "deeplesion: 2 of 2 records have no text, question or conversation" in said
    assert "Traceback" not in said
    assert (
        "semihvision annotate run -c configs/annotate/default.yaml --records "
        "data/deeplesion.parquet --root deeplesion=data/deeplesion --out "
        "data/deeplesion.annotated.parquet"
    ) in said


def test_jama_is_tested_on_and_never_trained_on(here: Twin) -> None:
    here("jama")
    typed = commands("jama")
    assert main(typed.before[0]) == 0
    (command, *rest) = typed.on_a_cpu()
    assert command == "test"
    quick = [*QUICK, "--trainer.callbacks", "null"]
    assert main(["test", *rest, *quick]) == 0
    assert main(["fit", *rest, *quick]) == 2
