"""Every file of configs/data: a data module that a stage can be given, and a head that is true."""

from functools import cache

import pytest
from data_configs import CONFIGS, DATA_CONFIGS, MIX, commands, head
from jsonargparse import ArgumentParser

import data_modules
from data_modules.base import RecordDataModule
from data_modules.reading import reader_of
from semihvision.cli.train import parse_only

pytestmark = pytest.mark.filterwarnings(
    "ignore:LightningCLI's args parameter:UserWarning",
    # lightning 2.6 calls a method that jsonargparse 4.53 has renamed.
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning",
)

CPU, FULL = "train/tiny/source", "train/stage2"


@cache
def made(name: str, stage: str = CPU) -> RecordDataModule:
    """The data module as `fit -c STAGE -c FILE` makes it, without a processor."""
    files = [CONFIGS / f"{stage}.yaml", DATA_CONFIGS[name]]
    settings = parse_only([word for file in files for word in ("-c", str(file))])
    parser = ArgumentParser()
    parser.add_subclass_arguments(RecordDataModule, "data")
    parsed = parser.parse_object({"data": settings["data"].as_dict()})
    module: RecordDataModule = parser.instantiate_classes(parsed)["data"]
    return module


def test_every_source_and_the_mix_has_a_file() -> None:
    assert {*data_modules.SOURCE_CLASSES.values(), MIX} == set(DATA_CONFIGS)


@pytest.mark.parametrize(
    ("name", "stage"), [*((name, CPU) for name in DATA_CONFIGS), ("deeplesion", FULL)]
)
def test_a_stage_takes_it_and_keeps_its_own_settings(name: str, stage: str) -> None:
    alone, module = made(MIX, stage), made(name, stage)

    assert type(module).__name__ == "SemiHVisionDataModule" or module.source == name  # type: ignore[attr-defined]
    assert all(str(root) == f"data/{source}" for source, root in module.roots().items())
    assert {file.name.split(".")[0] for file in module.record_files} == set(module.roots())
    for setting in ("batch_size", "global_batch_size", "packing", "num_workers"):
        assert getattr(module, setting) == getattr(alone, setting)


@pytest.mark.parametrize("name", [name for name in DATA_CONFIGS if name != MIX])
def test_the_commands_in_its_head_make_the_records_that_it_reads(name: str) -> None:
    text, typed, module = head(name), commands(name), made(name)
    assert all(f"\n# {word} " in text for word in ("Needs", "Command", "Provenance:"))

    prepare = typed.before[0]
    options = {
        word.removeprefix("--options."): prepare[place + 1]
        for place, word in enumerate(prepare)
        if word.startswith("--options.")
    }
    assert prepare[:2] == ["prepare", name]
    reader_of(name, options)  # refuses one that it does not have
    assert prepare[prepare.index("--root") + 1] == str(module.roots()[name])
    last = typed.before[-1]
    assert [last[last.index("--out") + 1]] == [str(file) for file in module.record_files]
    assert typed.run[3:5] == ["-c", f"configs/data/{name}.yaml"]


def test_the_mix_reads_what_the_other_files_make_but_no_test_data() -> None:
    mix = made(MIX)
    others = {str(f) for n in DATA_CONFIGS if n != MIX for f in made(n).record_files}
    assert {str(file) for file in mix.record_files} <= others
    assert "jama" not in mix.roots()
    assert mix.source_weights.keys() == mix.roots().keys()
