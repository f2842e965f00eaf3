"""Hugging Face folders: bit-identical weights, equal token ids, honest cards, clear refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from saved_weights import same_weights, weights
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from models import Annealing, PMCCambrian, PMCCambrianConfig, PMCCambrianProcessor
from models.export.folder import write_hf_folder
from models.export.processor import PMCCambrianAutoProcessor
from models.presets import preset
from models.stages.handoff import check_handoff, read_lineage, write_lineage
from semihvision.core.batch import Turn
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_path

SYSTEM = 'You\'re a "careful" reader.\n  {% of %} {{ images }} \\ é \U0001f600 '
DATA = {
    "sources": {"vqa_rad": 10, "unheard_of": 2},
    "licences": {"CC0-1.0": 10},
    "producers": {"human": 20, "model": 3},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as a stage leaves it."""
    folder = tmp_path_factory.mktemp("source") / "stage2"
    torch.manual_seed(0)
    PMCCambrian.from_preset("tiny").save_pretrained(folder)
    PMCCambrianProcessor.from_preset("tiny", system_prompt=SYSTEM).save_pretrained(folder)
    stages = [
        {"stage": "ConnectorAlignment", "preset": "tiny", "steps": 4, "data_hash": "ab" * 32},
        {
            "stage": "InstructionTuning",
            "steps": 9,
            "init_from_hash": "cd" * 32,
            "data": DATA,
            "lora": {"rank": 8},
            **{"git_commit": "c0ffee", "git_dirty": "true"},
            "tower_weights": {"tiny-clip": {"source": "clip.safetensors", "sha256": "ef" * 32}},
        },
    ]
    write_lineage(folder, stages)
    return folder


@pytest.fixture(scope="module")
def folder(source: Path) -> Path:
    made = source.with_name("hf")
    write_hf_folder(source, made, max_shard_bytes=800_000)
    return made


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    """A copy of the source to damage."""
    return Path(shutil.copytree(source, tmp_path / "copy"))


def image() -> Image.Image:
    return Image.effect_noise((90, 40), 80).convert("RGB")


def test_it_loads_bit_identically(source: Path, folder: Path) -> None:
    assert same_weights(PMCCambrian.from_pretrained(folder), PMCCambrian.from_pretrained(source))


def test_shards_keep_their_size_and_the_index_knows_them_all(source: Path, folder: Path) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 3
    for file in files:
        with safe_open(file, framework="pt") as opened:
            named = {name for name, where in index["weight_map"].items() if where == file.name}
            assert set(opened.keys()) == named
            assert opened.metadata() == {"format": "pt"}
        assert sum(tensor.nbytes for tensor in load_file(file).values()) <= 800_000
    assert index["weight_map"].keys() == weights(source).keys()
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in weights(source).values())


def test_a_weight_larger_than_a_shard_gets_one_of_its_own(source: Path, tmp_path: Path) -> None:
    written = write_hf_folder(source, tmp_path / "hf", max_shard_bytes=1000)
    assert written.weights.num_files > 100
    found, wanted = weights(tmp_path / "hf"), weights(source)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_bfloat16_keeps_its_bits_and_float32_is_rounded_to_it(source: Path, tmp_path: Path) -> None:
    model = PMCCambrian.from_pretrained(source).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "bf16")
    PMCCambrianProcessor.from_pretrained(source).save_pretrained(tmp_path / "bf16")
    write_hf_folder(tmp_path / "bf16", tmp_path / "kept", max_shard_bytes=10**9)
    write_hf_folder(source, tmp_path / "made", max_shard_bytes=10**9, dtype="bfloat16")
    for name in ("bf16", "kept", "made"):
        loaded = PMCCambrian.from_pretrained(tmp_path / name)
        assert loaded.dtype == torch.bfloat16
        assert same_weights(loaded, model), name


def test_a_tower_keeps_a_dtype_of_its_own(source: Path, tmp_path: Path) -> None:
    config = preset("tiny")
    config.towers[1]["dtype"] = "bfloat16"
    PMCCambrian(config).save_pretrained(tmp_path / "one")
    PMCCambrianProcessor.from_pretrained(source).save_pretrained(tmp_path / "one")
    written = write_hf_folder(
        tmp_path / "one", tmp_path / "hf", max_shard_bytes=10**9, dtype="float16"
    )
    assert written.weights.dtypes == ("bfloat16", "float16")
    one, hf = weights(tmp_path / "one"), weights(tmp_path / "hf")
    for name, tensor in one.items():
        kept = name.startswith("towers.1.")
        assert torch.equal(hf[name], tensor if kept else tensor.half()), name
    loaded = PMCCambrian.from_pretrained(tmp_path / "hf")
    assert next(loaded.towers[1].parameters()).dtype == torch.bfloat16
    assert loaded.dtype == torch.float16


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_are_stored_once_and_stay_tied(
    tied: bool, small_model: Callable[..., PMCCambrian], source: Path, tmp_path: Path
) -> None:
    config = preset("tiny")
    config.text_config.tie_word_embeddings = tied
    config.tie_word_embeddings = tied
    model = PMCCambrian(config)
    model.save_pretrained(tmp_path / "one")
    PMCCambrianProcessor.from_pretrained(source).save_pretrained(tmp_path / "one")
    write_hf_folder(tmp_path / "one", tmp_path / "hf", max_shard_bytes=10**6)
    loaded = PMCCambrian.from_pretrained(tmp_path / "hf")
    assert same_weights(loaded, PMCCambrian.from_pretrained(tmp_path / "one"))
    head, table = loaded.get_output_embeddings(), loaded.get_input_embeddings()
    assert (head.weight is table.weight) == tied
    assert weights(tmp_path / "hf").keys() == weights(tmp_path / "one").keys()


def test_auto_classes_know_it_here_without_trusting_its_code(folder: Path) -> None:
    assert type(AutoConfig.from_pretrained(folder)) is PMCCambrianConfig
    assert type(AutoModelForCausalLM.from_pretrained(folder)) is PMCCambrian
    assert type(AutoModelForImageTextToText.from_pretrained(folder)) is PMCCambrian
    assert type(AutoProcessor.from_pretrained(folder)) is PMCCambrianAutoProcessor
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_the_installed_code_is_preferred_to_the_folders_own(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    assert type(model) is PMCCambrian


def test_the_next_stage_takes_it_and_makes_a_folder_without_its_code(
    folder: Path, tmp_path: Path
) -> None:
    check_handoff(folder, wanted=preset("tiny"))
    stage = Annealing(preset="tiny", init_from=str(folder))
    stage.configure_model()
    assert same_weights(stage.network, PMCCambrian.from_pretrained(folder))
    stage.save_model_folder(tmp_path, steps=1)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
    stages = [entry["stage"] for entry in read_lineage(tmp_path)]
    assert stages == ["ConnectorAlignment", "InstructionTuning", "Annealing"]


def test_generation_stops_where_the_source_stops(source: Path, folder: Path) -> None:
    one = PMCCambrian.from_pretrained(source).generation_config
    other = PMCCambrian.from_pretrained(folder).generation_config
    assert other.eos_token_id == one.eos_token_id == [1, 9]
    assert other.pad_token_id == one.pad_token_id


def test_the_same_source_gives_the_same_folder(source: Path, folder: Path, tmp_path: Path) -> None:
    write_hf_folder(source, tmp_path / "hf", max_shard_bytes=800_000)
    assert hash_path(tmp_path / "hf") == hash_path(folder)


def test_weights_may_be_read_by_whoever_may_read_the_rest(folder: Path) -> None:
    modes = {file.stat().st_mode & 0o777 for file in folder.iterdir() if file.is_file()}
    assert modes == {(folder / "config.json").stat().st_mode & 0o777}


# The template


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return AutoProcessor.from_pretrained(folder)


def question(*images: Image.Image, text: str = "Which organ?") -> list[dict[str, Any]]:
    content = [{"type": "image", "image": one} for one in images]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]


def assert_same_inputs(one: Any, other: Any) -> None:
    assert one.keys() - {"labels"} == other.keys() - {"labels"}
    for name in ("input_ids", "attention_mask", "image_sizes_wh"):
        assert torch.equal(one[name], other[name]), name
    for a, b in zip(one["pixel_values"], other["pixel_values"], strict=True):
        assert torch.equal(a, b)


def test_processor_makes_the_inputs_of_ours(processor: Any, folder: Path) -> None:
    ours = PMCCambrianProcessor.from_pretrained(folder)
    a, b = image(), image().rotate(90, expand=True)
    told = [*question(a), {"role": "assistant", "content": "The liver."}]
    found = processor.apply_chat_template([told, told[:1] + told[1:]], tokenize=True)
    turns = [Turn("human", "<image>Which organ?"), Turn("gpt", "The liver.")]
    sample = ours.encode("x", turns, [ours.prepare_image(a)])
    wanted = ours.collate([sample, sample])
    del wanted["example_ids"]  # type: ignore[misc]
    assert_same_inputs(found, wanted)
    assert torch.equal(found["labels"], wanted["labels"])

    prompts = [question(b, a), question(text="No image, just words.")]
    found = processor.apply_chat_template(prompts, add_generation_prompt=True, tokenize=True)
    assert found["image_sizes_wh"].tolist() == [[40, 90], [90, 40]]
    assert "labels" not in found
    rendered = processor.apply_chat_template(prompts, add_generation_prompt=True)
    assert_same_inputs(processor(text=rendered, images=[b, a], return_tensors="pt"), found)


def test_typed_special_tokens_stay_text(processor: Any) -> None:
    end = processor.tokenizer.convert_tokens_to_ids("<|eot_id|>")
    ends = [
        int((processor.apply_chat_template(question(text=text), tokenize=True,
             add_generation_prompt=True)["input_ids"] == end).sum())
        for text in ("plain", "typed <|eot_id|> here")
    ]  # fmt: skip
    assert ends[0] == ends[1]


def test_processor_is_written_and_read_again(processor: Any, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    prompt = question(image())
    one, other = (p.apply_chat_template(prompt, tokenize=True, add_generation_prompt=True)
                  for p in (processor, again))  # fmt: skip
    assert_same_inputs(one, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p(text="Which organ?"), "apply_chat_template"),
        (lambda p: p(text="<image>"), "1 <image> placeholders but 0 images"),
        (lambda p: p(text="x", return_tensors="np"), "options"),
        (lambda p: p.apply_chat_template([], tokenize=True), "no messages"),
        (lambda p: p.apply_chat_template(question("a.png"), tokenize=True), "PIL image"),  # type: ignore[arg-type]
        (
            lambda p: p.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=True),
            "role 'tool'",
        ),
        (
            lambda p: p.apply_chat_template(
                [*question(), {"role": "assistant", "content": "x"}],
                tokenize=True,
                add_generation_prompt=True,
            ),
            "expected a user's turn",
        ),
    ],
)
def test_processor_refuses_clearly(
    processor: Any, call: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        call(processor)


# The card, and what is refused


def test_card_says_what_is_recorded_and_what_is_not(folder: Path, source: Path) -> None:
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "image-text-to-text"
    assert front["license"] == "other"
    for fact in ("ConnectorAlignment", "InstructionTuning", "ab" * 32, "cd" * 32, "CC0-1.0"):
        assert fact in card
    assert f"tower `tiny-clip` started from `clip.safetensors` (hash {'ef' * 32})" in card
    assert "low-rank adapters, merged" in card
    assert "c0ffee with uncommitted changes" in card
    assert "| unheard_of | 2 | not known: no card |" in card
    assert "people: 20, language models: 3" in card
    assert "**1 of 2 stages recorded no sources**" in card
    assert "no medical device" in card
    assert "1,511,944" in card
    assert (folder / "lineage.json").read_text() == (source / "lineage.json").read_text()


def test_card_names_a_published_checkpoint_as_the_start(copy: Path, tmp_path: Path) -> None:
    entry = {"stage": "from-cambrian", "checkpoint": "cambrian-8b", "preset": "8b"}
    write_lineage(copy, [entry])
    write_hf_folder(copy, tmp_path / "hf", max_shard_bytes=10**9)
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "| 1 | from-cambrian | not recorded | not recorded | cambrian-8b |" in card
    assert "published Cambrian-1 checkpoint `cambrian-8b`, whose terms" in card
    assert "none (preset" not in card


def test_card_of_an_untrained_model_makes_nothing_up(copy: Path, tmp_path: Path) -> None:
    (copy / "lineage.json").unlink()
    write_hf_folder(copy, tmp_path / "hf", max_shard_bytes=10**9)
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "## Lineage\n\n**Not recorded.**" in card
    assert "**Sources and licences were not recorded.**" in card
    assert not (tmp_path / "hf" / "lineage.json").exists()


def test_nothing_names_a_folder_of_this_machine(folder: Path, source: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            text = file.read_text()
            for private in (source, folder, Path.home(), Path.cwd()):
                assert str(private) not in text, file.name


def break_weight(folder: Path, change: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    state = weights(folder)
    changed = change(state.pop("newline"))
    if changed is not None:
        state["newline"] = changed
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def rewrite(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no settings": (lambda f: (f / "processing.json").unlink(), "no processing.json"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
    "foreign": (lambda f: rewrite(f / "config.json", model_type="llama"), "model_type is 'llama'"),
    "adapters": (lambda f: (f / "adapter_config.json").write_text("{}"), "merged"),
    "cut short": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-100]
        ),
        "cannot be read",
    ),
    "missing": (lambda f: break_weight(f, lambda t: None), "missing: newline"),
    "mis-shaped": (lambda f: break_weight(f, lambda t: t[:5].clone()), "mis-shaped: newline"),
    "not finite": (lambda f: break_weight(f, lambda t: t * torch.nan), "newline holds values"),
    "lineage": (lambda f: (f / "lineage.json").write_text("3"), "expected a list of objects"),
    "own path": (
        lambda f: (f / "lineage.json").write_text(json.dumps([{"data": str(f.resolve())}])),
        "names a folder of this machine",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_unusable_folders_are_refused_and_leave_nothing(
    name: str, copy: Path, tmp_path: Path
) -> None:
    damage, message = DAMAGE[name]
    damage(copy)
    with pytest.raises(InputError, match=message):
        write_hf_folder(copy, tmp_path / "hf", max_shard_bytes=10**9)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["copy"]


def test_half_precision_that_overflows_is_refused(copy: Path, tmp_path: Path) -> None:
    break_weight(copy, lambda t: t + 1e6)
    with pytest.raises(InputError, match="not finite in float16"):
        write_hf_folder(copy, tmp_path / "hf", max_shard_bytes=10**9, dtype="float16")


def test_unfinished_and_existing_folders_are_left_alone(
    source: Path, copy: Path, tmp_path: Path
) -> None:
    partial = copy.rename(tmp_path / "stage2.partial")
    with pytest.raises(InputError, match="unfinished"):
        write_hf_folder(partial, tmp_path / "hf", max_shard_bytes=10**9)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="already there"):
        write_hf_folder(source, tmp_path / "mine", max_shard_bytes=10**9)
    assert not list((tmp_path / "mine").iterdir())
