import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models.checkpoint import official_state_dict
from models.configuration import TowerSpec
from models.conversion import convert_official_folder
from models.modeling import PMCCambrian
from models.official_config import official_config
from models.presets import OFFICIAL_TOWERS, preset
from models.processing import PMCCambrianProcessor
from models.tokenizer import load_tokenizer
from semihvision.cli import convert
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_file

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _tiny_towers_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in preset("tiny").tower_specs:
        monkeypatch.setitem(OFFICIAL_TOWERS, spec.name, partial(_spec, spec))


def _spec(spec: TowerSpec, _grid_side: int) -> TowerSpec:
    return spec


@pytest.fixture(scope="module")
def source_model() -> PMCCambrian:
    torch.manual_seed(3)
    return PMCCambrian.from_preset("tiny")


@pytest.fixture
def published(tmp_path: Path, source_model: PMCCambrian) -> Path:
    """A folder in the published form: three shards, index, configuration, tokenizer."""
    folder = tmp_path / "cambrian"
    weights = official_state_dict(source_model)
    names = list(weights)
    index: dict[str, str] = {}
    folder.mkdir()
    for i in range(3):
        file = f"model-{i + 1:05d}-of-00003.safetensors"
        held = names[i::3]
        save_file({k: weights[k].contiguous() for k in held}, folder / file)
        index |= dict.fromkeys(held, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    with_towers = official_config(preset("tiny"), image_position=5)
    # The published configuration names one end of text, and nothing to pad with.
    official = with_towers | {"eos_token_id": 9, "pad_token_id": None}
    (folder / "config.json").write_text(json.dumps(official))
    load_tokenizer("tiny").save_pretrained(folder)
    return folder


@pytest.fixture
def towers(tmp_path: Path, source_model: PMCCambrian) -> dict[str, str]:
    """Files with the towers' weights by tower name."""
    files = {}
    modules: Any = source_model.towers
    for i, tower in enumerate(modules):
        path = tmp_path / f"tower{i}.safetensors"
        save_file(tower.backbone.state_dict(), path)
        files[tower.spec.name] = str(path)
    return files


def arguments(published: Path, out: Path, towers: dict[str, str], *more: str) -> list[str]:
    given = [f"{name}={file}" for name, file in towers.items()]
    paths = ["--checkpoint", str(published), "--out", str(out)]
    return ["from-cambrian", *paths, "--tower-weights", *given, *more]


def test_a_published_folder_and_tower_files_become_a_model_folder(
    published: Path,
    towers: dict[str, str],
    source_model: PMCCambrian,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "model"
    assert convert.run(arguments(published, out, towers, "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["preset"] == "tiny"
    assert document["num_parameters"] == source_model.num_parameters()
    loaded = PMCCambrian.from_pretrained(out)
    for name, value in source_model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert loaded.generation_config.eos_token_id == [1, 9]
    assert PMCCambrianProcessor.from_pretrained(out, other_prompt=True).tokenizer
    lineage = json.loads((out / "lineage.json").read_text())
    assert lineage[0]["stage"] == "from-cambrian"
    assert lineage[0]["sources"] == {
        file.name: hash_file(file) for file in sorted(published.glob("model-*"))
    }
    assert lineage[0]["tower_weights"].keys() == towers.keys()
    assert str(tmp_path) not in (out / "lineage.json").read_text()
    assert not (tmp_path / "model.partial").exists()


def test_stages_and_the_official_prompt_check_take_the_folder(
    published: Path, towers: dict[str, str], tmp_path: Path
) -> None:
    from models.stages.handoff import check_handoff

    convert_official_folder(published, tmp_path / "model", tower_weights=towers)
    check_handoff(tmp_path / "model", wanted=preset("tiny"))
    with pytest.raises(InputError, match="the system prompt is empty; expected the official text"):
        PMCCambrianProcessor.from_pretrained(tmp_path / "model")


def test_one_file_and_another_dtype(
    published: Path, towers: dict[str, str], tmp_path: Path, source_model: PMCCambrian
) -> None:
    weights = {k: v for f in sorted(published.glob("model-*")) for k, v in load_file(f).items()}
    for file in [*published.glob("model-*"), published / INDEX]:
        file.unlink()
    save_file(weights, published / "model.safetensors")
    made = convert_official_folder(
        published, tmp_path / "model", tower_weights=towers, dtype="bfloat16"
    )
    assert (made.dtype, made.num_files) == ("bfloat16", 5)
    loaded = PMCCambrian.from_pretrained(tmp_path / "model")
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    state = source_model.state_dict()
    assert all(torch.equal(v, state[k].bfloat16()) for k, v in loaded.state_dict().items())


def change_config(folder: Path, **changes: Any) -> None:
    """Changes keys; ``...`` takes one out."""
    path = folder / "config.json"
    changed = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in changed.items() if v is not ...}))


def change_index(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / INDEX).read_text())
    document["weight_map"] |= changes
    (folder / INDEX).write_text(json.dumps(document))


def shard(folder: Path, number: int = 1) -> Path:
    return folder / f"model-0000{number}-of-00003.safetensors"


def change_shard(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(shard(folder))
    change(weights)
    save_file(weights, shard(folder))


def truncate(folder: Path) -> None:
    content = shard(folder).read_bytes()
    shard(folder).write_bytes(content[: len(content) // 2])


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), r"config\.json: no such file"),
    "another model": (lambda f: change_config(f, model_type="llama"), "expected 'cambrian_llama'"),
    "unknown tower": (
        lambda f: change_config(f, mm_vision_tower_aux_list=["a", "b", "c", "d"]),
        "unknown vision tower 'a'; the published ones are",
    ),
    "fewer towers": (
        lambda f: change_config(
            f,
            mm_vision_tower_aux_list=["tiny-resnet-multi-stage"],
            mm_vision_tower_aux_token_len_list=[144],
        ),
        "no such towers; expected those of \\['tiny-resnet",
    ),
    "other sizes": (lambda f: change_config(f, hidden_size=64), "mis-shaped: lm_head.weight is"),
    "no position": (lambda f: change_config(f, image_position=...), "lacks 'image_position'"),
    "missing shard": (lambda f: shard(f).unlink(), "00001-of-00003.safetensors, absent"),
    "truncated shard": (truncate, "00001-of-00003.safetensors: cannot be read as safetensors"),
    "key no shard has": (
        lambda f: change_index(f, extra=shard(f).name),
        "extra is named by the index, but model-00001-of-00003.safetensors lacks it",
    ),
    "key the index lacks": (
        lambda f: change_shard(f, lambda w: w.update(extra=torch.zeros(1))),
        "extra is in model-00001-of-00003.safetensors, where the index does not name it",
    ),
    "key twice": (
        lambda f: change_shard(f, lambda w: w.update(load_file(shard(f, 2)))),
        "is in model-00001-of-00003.safetensors and in model-00002-of-00003.safetensors",
    ),
    "no floating point": (
        lambda f: change_shard(
            f, lambda w: w.update({k: v.to(torch.int8) for k, v in list(w.items())[:1]})
        ),
        "is stored as I8, expected a floating-point",
    ),
    "mixed dtypes": (
        lambda f: change_shard(f, lambda w: w.update({k: v.half() for k, v in w.items()})),
        "weights are stored as F16, F32; choose one dtype",
    ),
    "path out of the folder": (
        lambda f: change_index(f, extra="../x.safetensors"),
        "expected names of files in the folder",
    ),
    "no index entries": (lambda f: (f / INDEX).write_text("[]"), "no weight_map"),
    "no weights": (
        lambda f: [x.rename(f / "other") for x in [*f.glob("model-*"), f / INDEX]],
        "no model.safetensors, absent from the folder",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
    "small vocabulary": (lambda f: change_config(f, vocab_size=1000), "the tokenizer has ids up"),
    "a tied weight stored twice": (
        lambda f: change_config(f, tie_word_embeddings=True),
        "lm_head.weight and model.embed_tokens.weight differ",
    ),
    "NaN": (
        lambda f: change_shard(f, lambda w: [v.fill_(torch.nan) for v in list(w.values())[:1]]),
        "holds NaN or infinity as float32; fetch the file again",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_is_refused_and_leaves_no_folder(
    damage: Callable[[Path], Any],
    message: str,
    published: Path,
    towers: dict[str, str],
    tmp_path: Path,
) -> None:
    damage(published)
    with pytest.raises(InputError, match=message):
        convert_official_folder(published, tmp_path / "model", tower_weights=towers)
    assert not (tmp_path / "model").exists()
    assert message.startswith("holds NaN") or not (tmp_path / "model.partial").exists()


def test_towers_without_weights_are_refused(
    published: Path, towers: dict[str, str], tmp_path: Path
) -> None:
    first, *rest = towers
    some = {first: towers[first]}
    with pytest.raises(InputError, match="3 of 4 were given no weights") as error:
        convert.run(arguments(published, tmp_path / "model", some))
    assert f"--tower-weights {rest[0]}=FILE" in str(error.value)
    repeated = [f"--tower-weights={name}={towers[name]}" for name in rest]
    assert convert.run(arguments(published, tmp_path / "as told", some, *repeated)) == 0
    with pytest.raises(InputError, match=r"\['other'\]: no such towers"):
        convert.run(arguments(published, tmp_path / "model", towers | {"other": "x"}))
    with pytest.raises(InputError, match="expected NAME=SOURCE"):
        convert.run(arguments(published, tmp_path / "model", {}, "nothing"))
    with pytest.raises(InputError, match="already has"):
        convert.run(arguments(published, tmp_path / "model", some, f"{first}=again"))
    wrong = towers | {first: towers[rest[0]]}
    with pytest.raises(InputError, match="do not fit tower"):
        convert.run(arguments(published, tmp_path / "model", wrong))
    assert not (tmp_path / "model").exists()


def test_other_refusals(
    published: Path, towers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="dtype 'int8'; expected one of float32, bfloat16"):
        convert.run(arguments(published, tmp_path / "model", towers, "--dtype", "int8"))
    prompt = tmp_path / "system.txt"
    prompt.write_text("Another text.")
    with pytest.raises(InputError, match="has 13 characters"):
        convert.run(arguments(published, tmp_path / "m", towers, "--system-prompt", str(prompt)))
    with pytest.raises(InputError, match="absent: no such folder"):
        convert_official_folder(tmp_path / "absent", tmp_path / "m", tower_weights=towers)
    with pytest.raises(InputError, match="already there"):
        convert_official_folder(published, published, tower_weights=towers)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"0\.0 GB free; the model folder needs 0\.1 GB"):
        convert_official_folder(published, tmp_path / "model", tower_weights=towers)
    assert not (tmp_path / "model.partial").exists()


def test_a_conversion_that_was_cut_off_goes_on(
    published: Path, towers: dict[str, str], tmp_path: Path
) -> None:
    whole = published / "model-00002-of-00003.safetensors"
    content = load_file(whole)
    key = next(iter(content))
    save_file(content | {key: torch.full_like(content[key], torch.nan)}, whole)
    out, partial = tmp_path / "model", tmp_path / "model.partial"
    with pytest.raises(InputError, match="holds NaN or infinity"):
        convert_official_folder(published, out, tower_weights=towers)
    finished = partial / "model-00005-of-00007.safetensors"
    assert finished.is_file()
    assert not (partial / "model-00006-of-00007.safetensors").exists()
    # Another source begins anew; the same one goes on with what is finished.
    written = finished.stat().st_mtime_ns
    with pytest.raises(InputError, match="holds NaN or infinity"):
        convert_official_folder(published, out, tower_weights=towers)
    assert finished.stat().st_mtime_ns == written
    with pytest.raises(InputError, match="holds NaN or infinity"):
        convert_official_folder(published, out, tower_weights=towers, dtype="float16")
    with safe_open(finished, framework="pt") as file:
        assert file.get_slice(next(iter(file.keys()))).get_dtype() == "F16"
    save_file(content, whole)
    convert_official_folder(published, out, tower_weights=towers)
    assert (out / finished.name).stat().st_mtime_ns != written
    PMCCambrian.from_pretrained(out)
    with safe_open(out / finished.name, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.slow
def test_peak_memory_is_near_the_largest_shard(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "from_cambrian.py"
    command = [sys.executable, str(script), "--megabytes", "400", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["checkpoint_mb"] > 350
    assert figures["peak_mb"] < 1.2 * figures["largest_shard_mb"]
