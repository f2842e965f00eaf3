"""Golden files of every kind that the oracle makes are reproduced, and wrong weights are found."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_oracle import CONFIG, IMAGE, ROWS, SIZES, VOCABULARY, golden_tensors
from safetensors.torch import save_file
from torch import Tensor

from models.parity import Parity, verify
from semihvision.cli import convert
from semihvision.core.errors import EXIT_CHECK_FAILED, InputError

Check = Callable[[dict[str, Any], dict[str, Tensor]], Parity]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def run(config: dict[str, Any], tensors: dict[str, Tensor]) -> Parity:
        path = tmp_path / "golden.safetensors"
        save_file(tensors, path, metadata={"config": json.dumps(config)})
        return verify(path)

    return run


LEFT = {"tokenizer_padding_side": "left"}
TEXT = (ROWS[0], [9, 10, 11, 12], ROWS[2])
FINE = {"mm_vision_tower_aux_token_len_list": [64, 64, 64]}
ODD = {"mm_vision_tower_aux_token_len_list": [25, 25, 100], "image_token_len": 25}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    # name: configuration, arguments of `golden_tensors`, what is left out
    "one square": ({}, {"rows": ROWS[2:], "sizes": [(336, 336)]}, {}),
    "one wide": ({}, {"rows": ROWS[:1], "sizes": [(640, 200)]}, {}),
    "one tall": ({}, {"rows": ROWS[:1], "sizes": [(31, 97)]}, {}),
    "wide, tall and square": ({}, {}, {"greedy_ids of rows 0, 1": "padding on the right"}),
    "Q below S": ({"query_num_list": [4]}, {}, {"greedy_ids of rows 0, 1": "right"}),
    "Q above S": (FINE | {"query_num_list": [64]}, {}, {"greedy_ids of rows 0, 1": "right"}),
    "odd side": (ODD | {"query_num_list": [25]}, {}, {"greedy_ids of rows 0, 1": "right"}),
    "two query groups": (
        {"query_num_list": [4, 16], "num_query_group": 2},
        {},
        {"greedy_ids of rows 0, 1": "right"},
    ),
    "connector only": (
        {"connector_only": True, "query_num_list": [4]},
        {},
        {"greedy_ids of rows 0, 1": "right"},
    ),
    "one sampler, at the last layer": (
        {"num_of_vision_sampler_layers": 1, "start_of_vision_sampler_layers": 2},
        {"rows": ROWS[:1], "sizes": SIZES[:1]},
        {},
    ),
    "samplers beyond the last layer": (
        {"num_of_vision_sampler_layers": 5, "stride_of_vision_sampler_layers": 1},
        {"rows": ROWS[:1], "sizes": SIZES[:1]},
        {},
    ),
    "samplers that never run": (
        {"start_of_vision_sampler_layers": 16},
        {"rows": ROWS[:1], "sizes": SIZES[:1]},
        {},
    ),
    "cut": ({"tokenizer_model_max_length": 14}, {"rows": ROWS[:2], "sizes": SIZES[:2]}, {}),
    "cut inside an image, connector only": (
        {"connector_only": True, "tokenizer_model_max_length": 14},
        {},
        {},
    ),
    "cut inside an image, some rows shorter": (
        {"connector_only": True, "tokenizer_model_max_length": 15},
        {
            "rows": (ROWS[0], [9, 10, 11, 12], [3, 4, 5, IMAGE, 6, IMAGE, 7]),
            "sizes": (*SIZES, SIZES[0]),
        },
        {"greedy_ids of rows 1": "right"},
    ),
    "cut inside an image, padding on the left": (
        LEFT | {"connector_only": True, "tokenizer_model_max_length": 15},
        {"rows": (ROWS[0], [9, 10, 11, 12], ROWS[2])},
        {},
    ),
    "masked ids in front": ({}, {"masked": 3}, {"greedy_ids of rows 0, 1": "right"}),
    "rows of text, connector only": (
        {"connector_only": True},
        {"rows": TEXT},
        {"greedy_ids of rows 0, 1": "right"},
    ),
    "rows of text, overwritten": (
        {},
        {"rows": ([3, 4, IMAGE, 5], [9] * 20, [8] * 4 + [IMAGE])},
        {
            "logits of rows 1, 2": "overwrite",
            "loss": "overwrite",
            "greedy_ids of rows 0, 1, 2": "overwrite.*right",
        },
    ),
    "text alone": (
        {"connector_only": True},
        {"rows": ([3, 4, 5],), "sizes": [(64, 64)]},
        {},
    ),
    "two images in a row, connector only": (
        {"connector_only": True},
        {"rows": ([3, IMAGE, 4, IMAGE, 5], [6, IMAGE, 7])},
        {"greedy_ids of rows 1": "right"},
    ),
    "two images in a row": (
        {},
        {"rows": ([3, 4, IMAGE, 5, IMAGE, 6], ROWS[1])},
        {
            "logits of rows 0, 1": "overwrite",
            "loss": "overwrite",
            "greedy_ids of rows 0, 1": "overwrite",
        },
    ),
    "padding on the left, connector only": (LEFT | {"connector_only": True}, {}, {}),
    "padding on the left": (
        LEFT,
        {},
        {
            "logits of rows 0, 1": "overwrite",
            "loss": "overwrite",
            "greedy_ids of rows 0, 1": "overwrite",
        },
    ),
    "no attention mask": (
        {},
        {"rows": (ROWS[1], ROWS[1]), "sizes": SIZES[1:], "with_mask": False},
        {
            "greedy_ids of rows 0": "right",
            "expanded_attention_mask": "does not hold",
        },
    ),
    "no attention mask, padding on the left": (
        LEFT | {"connector_only": True},
        {"rows": (ROWS[1], ROWS[1]), "sizes": SIZES[1:], "with_mask": False},
        {
            "logits of rows 0": "attends to padding",
            "loss": "attends to padding",
            "greedy_ids of rows 0": "attends to padding",
            "expanded_attention_mask": "does not hold",
        },
    ),
}
EIGHT = (
    "model.mm_projector_aux_2.0.weight",
    "model.vision_query",
    "model.image_newline",
    "model.vision_sampler_0.layers.1.cross_attn.k_proj_0.1.weight",
    "model.vision_sampler_0.layers.0.pos_embed_2",
    "model.vision_sampler_layers.0.layers.0.proj_out.linear_2.weight",
    "model.layers.2.mlp.up_proj.weight",
    "lm_head.weight",
)


@pytest.mark.parametrize(("changes", "made", "left_out"), CASES.values(), ids=CASES.keys())
def test_every_kind_of_file_is_reproduced(
    changes: dict[str, Any], made: dict[str, Any], left_out: dict[str, str], check: Check
) -> None:
    config = CONFIG | changes
    tensors = golden_tensors(config, **made)
    parity = check(config, tensors)
    assert parity.passed, parity.differences
    assert parity.left_out.keys() == left_out.keys()
    for name, why in left_out.items():
        assert re.search(why, parity.left_out[name])


@pytest.mark.parametrize(
    "case", ["wide, tall and square", "Q below S", "padding on the left", "connector only"]
)
def test_a_slightly_wrong_weight_is_found_in_each(case: str, check: Check) -> None:
    changes, made, _ = CASES[case]
    config = CONFIG | changes
    tensors = golden_tensors(config, **made)
    for name in EIGHT:
        key = f"weights.{name}"
        if key in tensors:
            wrong = tensors | {key: tensors[key] * 1.02}
            assert not check(config, wrong).passed, name


def test_where_rows_lack_an_image_the_others_still_count(check: Check) -> None:
    tensors = golden_tensors(CONFIG, ([3, 4, IMAGE, 5], [9] * 20, [8, 7, IMAGE, 6]))
    parity = check(CONFIG, tensors)
    assert parity.passed, parity.differences
    assert "logits of rows 1" in parity.left_out
    tensors["outputs.logits"][2] += 1
    assert not check(CONFIG, tensors).passed


def test_a_first_token_predicted_from_padding_takes_the_loss_out(check: Check) -> None:
    config = CONFIG | LEFT | {"connector_only": True}
    tensors = golden_tensors(config)
    tensors["inputs.labels"][:, 0] = tensors["inputs.input_ids"][:, 0]
    first = tensors["outputs.expanded_attention_mask"].int().argmax(dim=1)
    rows = torch.arange(len(first))
    tensors["outputs.expanded_labels"][rows, first] = tensors["inputs.labels"][:, 0]
    tensors["outputs.loss"] += 1
    parity = check(config, tensors)
    assert parity.passed, parity.differences
    assert parity.left_out.keys() == {"loss"}
    assert "predicts the first token" in parity.left_out["loss"]


@pytest.mark.parametrize("with_logits", [True, False])
def test_greedy_tokens_may_start_with_begin_of_text(with_logits: bool, check: Check) -> None:
    tensors = golden_tensors(CONFIG, ROWS[:1], SIZES[:1])
    ids = tensors["outputs.greedy_ids"]
    begin = next(i for i in range(3, VOCABULARY) if i not in ids)
    config = CONFIG | {"bos_token_id": begin}
    tensors["outputs.greedy_ids"] = torch.cat([torch.full((1, 1), begin), ids], dim=1)
    if not with_logits:
        del tensors["outputs.logits"]
    parity = check(config, tensors)
    assert parity.passed, parity.differences
    tensors["outputs.greedy_ids"][0, -1] += 1
    assert not check(config, tensors).passed


def test_begin_of_text_that_the_model_says_is_no_start(check: Check) -> None:
    tensors = golden_tensors(CONFIG, ROWS[:1], SIZES[:1])
    config = CONFIG | {"bos_token_id": int(tensors["outputs.greedy_ids"][0, 0])}
    assert check(config, tensors).passed


def test_an_end_token_in_the_configuration_does_not_stop_the_comparison(check: Check) -> None:
    """Greedy tokens of a golden file were generated without an end token."""
    tensors = golden_tensors(CONFIG, ROWS[:1], SIZES[:1])
    end = int(tensors["outputs.greedy_ids"][0, 0])
    for named in (end, [end, 2]):
        parity = check(CONFIG | {"eos_token_id": named, "pad_token_id": 0}, tensors)
        assert parity.passed, parity.differences


def test_other_dtypes_keys_and_outputs_are_taken(check: Check) -> None:
    tensors = golden_tensors(CONFIG, ROWS[:1], SIZES[:1])
    for name in ("inputs.attention_mask", "outputs.expanded_attention_mask"):
        tensors[name] = tensors[name].long()
    tensors["inputs.image_sizes_wh"] = tensors["inputs.image_sizes_wh"].int()
    tensors["outputs.position_ids"] = torch.zeros(1, 3)
    tensors["outputs.loss"] = tensors["outputs.loss"][None]
    config = CONFIG | {"mm_use_im_patch_token": False, "torch_dtype": "float32", "use_cache": True}
    parity = check(config, tensors)
    assert parity.passed, parity.differences
    assert len(parity.differences) == 6
    assert parity.left_out == {"position_ids": "unknown output"}


def test_what_the_file_lacks_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = golden_tensors(CONFIG, ROWS[:1], SIZES[:1])
    for name in ("inputs.labels", "inputs.attention_mask", "outputs.greedy_ids", "outputs.loss"):
        del tensors[name]
    path = tmp_path / "less.safetensors"
    save_file(tensors, path, metadata={"config": json.dumps(CONFIG)})
    assert convert.run(["verify", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["not_compared"] == {
        "loss": "the file does not hold it",
        "greedy_ids": "the file does not hold it",
        "expanded_labels": "inputs.labels is absent",
    }
    tensors["outputs.logits"] = tensors["outputs.logits"][:, 1:].contiguous()
    save_file(tensors, path, metadata={"config": json.dumps(CONFIG)})
    assert convert.run(["verify", str(path), "--json"]) == EXIT_CHECK_FAILED
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    largest = {output["output"]: output["largest"] for output in document["outputs"]}
    assert largest["logits"] is None
    assert convert.run(["verify", str(path)]) == EXIT_CHECK_FAILED
    assert "Not compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "sizes", "message"),
    [
        (CONFIG | {"tokenizer_model_max_length": 9}, None, "ends before or inside an image"),
        (CONFIG | {"tokenizer_padding_side": "both"}, None, "expected left or right"),
        (CONFIG, [64, 64], r"inputs.image_sizes_wh \(2,\); expected \(B, L\), \(B, L\) and \(B, 2"),
        (CONFIG, [[900, 10], [30, 90], [64, 64]], "image 0 of 900x10 pixels covers no cell"),
        (CONFIG, [[30, 90], [64, 64]], "towers were given"),
        (CONFIG | {"mm_projector_type": "mlp"}, None, "mm_projector_type is 'mlp', expected 'sva'"),
        (CONFIG | {"mm_use_im_start_end": True}, None, "mm_use_im_start_end is True"),
        (CONFIG | {"image_aspect_ratio": "square"}, None, "image_aspect_ratio is 'square'"),
        (CONFIG | {"mm_vision_select_layer": -1}, None, "mm_vision_select_layer is -1"),
        (CONFIG | {"mm_vision_select_feature": "cls_patch"}, None, "select_feature is 'cls_patch'"),
        (CONFIG | {"rope_scaling": {"type": "linear", "factor": 2}}, None, "rope_scaling is"),
        (CONFIG | {"num_query_group": 2}, None, "num_query_group is 2, but query_num_list has 1"),
    ],
)
def test_unusable_files_end_with_a_message(
    config: dict[str, Any], sizes: list[Any] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "golden.safetensors"
    tensors = GOLDEN | ({"inputs.image_sizes_wh": torch.tensor(sizes)} if sizes else {})
    save_file(tensors, path, metadata={"config": json.dumps(config)})
    with pytest.raises(InputError, match=message):
        convert.run(["verify", str(path)])


GOLDEN = golden_tensors(CONFIG)
