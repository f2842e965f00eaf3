import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import load_official_checkpoint
from models.golden import Golden, model_inputs, read_golden
from models.official_config import config_from_official
from models.official_names import own_key
from models.parity import compare, verify
from semihvision.cli import convert
from semihvision.core.errors import EXIT_CHECK_FAILED, InputError

SAMPLERS_LEFT_OUT = 5.398972
"""Loss of the golden input when the samplers inside the decoder do not run (cambrian.md 13)."""


@pytest.fixture(scope="module")
def golden(golden_square: Path) -> Golden:
    return read_golden(golden_square)


def test_every_output_is_the_official_one(golden_square: Path) -> None:
    parity = verify(golden_square)
    differences = parity.differences
    assert parity.passed
    assert parity.left_out == {}
    assert [difference.output for difference in differences] == [
        "inputs_embeds",
        "logits",
        "loss",
        "expanded_attention_mask",
        "expanded_labels",
        "greedy_ids",
    ]
    for difference in differences:
        assert difference.passed, difference
        assert difference.largest <= 1e-5


def test_a_direct_forward_runs_the_samplers(golden: Golden) -> None:
    """The official trap: without a generate before it, forward leaves them out."""
    model = load_official_checkpoint(golden.under("weights."), golden.config)
    inputs = model_inputs(golden, config_from_official(golden.config))
    labels = golden.tensors["inputs.labels"]
    with torch.no_grad():
        loss = model(**inputs, labels=labels).loss.item()
        fused = model.fuse(**inputs, labels=labels)
        without = model(inputs_embeds=fused.inputs_embeds, labels=fused.labels).loss.item()
    assert loss == pytest.approx(5.419242, abs=1e-5)
    assert without == pytest.approx(SAMPLERS_LEFT_OUT, abs=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "model.mm_projector_aux_1.0.weight",
        "model.vision_query",
        "model.image_newline",
        "model.vision_sampler_0.layers.1.cross_attn.k_proj_2.1.weight",
        "model.vision_sampler_0.layers.0.pos_embed_2",
        "model.vision_sampler_layers.1.layers.0.proj_out.linear_2.weight",
        "model.layers.3.mlp.up_proj.weight",
        "lm_head.weight",
    ],
)
def test_a_slightly_wrong_weight_is_found(golden: Golden, name: str) -> None:
    weights = golden.under("weights.")
    model = load_official_checkpoint({**weights, name: weights[name] * 1.02}, golden.config)
    assert not compare(model, golden).passed


INVISIBLE = re.compile(r"mm_projector_aux_\d\.(2|3)\.weight$")
"""Followed by layer norms, which undo a factor up to their eps; only means and position embeddings
that are added before them let a part of it through."""


@pytest.mark.slow
def test_every_weight_that_can_show_does(golden: Golden) -> None:
    """Attention is insensitive, yet every key projection moves some output beyond the tolerance."""
    weights = golden.under("weights.")
    model = load_official_checkpoint(weights, golden.config)
    own = dict(model.named_parameters())
    without_ids = {k: v for k, v in golden.tensors.items() if k != "outputs.greedy_ids"}
    smallest, unseen = math.inf, []
    for name, weight in weights.items():
        if not weight.any():
            continue  # biases are zero in this file
        parameter = own[own_key(name) or ""]
        with torch.no_grad():
            parameter.mul_(1.02)
            parity = compare(model, Golden(golden.config, without_ids))
            parameter.copy_(weight)
        if parity.passed:
            unseen.append(name)
        else:
            smallest = min(smallest, max(d.largest for d in parity.differences))
    assert [name for name in unseen if not INVISIBLE.search(name)] == []
    assert smallest > 1e-4


def test_a_row_without_a_placeholder_gives_its_image_back(golden: Golden) -> None:
    """Two rows in the official layout: the second has an image entry but no placeholder."""
    given = golden.under("inputs.")
    text = given["input_ids"].where(given["input_ids"] != -200, 3)
    tensors = {f"inputs.{name}": torch.cat([value, value]) for name, value in given.items()}
    tensors["inputs.input_ids"] = torch.cat([text, given["input_ids"]])
    model = load_official_checkpoint(golden.under("weights."), golden.config)
    inputs = model_inputs(Golden(config={}, tensors=tensors), config_from_official(golden.config))
    assert inputs["image_sizes_wh"].tolist() == [[336, 336]]
    with torch.no_grad():
        logits = model(**inputs).logits
    torch.testing.assert_close(logits[1:], golden.tensors["outputs.logits"], atol=1e-5, rtol=0)


def test_command_prints_one_document_and_ends_with_0(
    golden_square: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert.run(["verify", str(golden_square), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"]
    assert {output["output"] for output in document["outputs"]} >= {"logits", "greedy_ids"}


def test_command_ends_with_4_on_a_difference(
    golden: Golden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "changed.safetensors"
    tensors = dict(golden.tensors)
    tensors["weights.lm_head.weight"] = tensors["weights.lm_head.weight"] * 1.02
    save_file(tensors, path, metadata={"config": json.dumps(dict(golden.config))})
    assert convert.run(["verify", str(path)]) == EXIT_CHECK_FAILED
    assert "FAILED" in capsys.readouterr().out


def test_a_nan_does_not_pass(golden: Golden) -> None:
    model = load_official_checkpoint(golden.under("weights."), golden.config)
    with torch.no_grad():
        model.language_model.lm_head.weight[0, 0] = math.nan
    logits = next(d for d in compare(model, golden).differences if d.output == "logits")
    assert not logits.passed


def test_unusable_files_are_refused(golden: Golden, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.safetensors"):
        convert.run(["verify", str(tmp_path / "absent.safetensors")])
    garbled = tmp_path / "garbled.safetensors"
    garbled.write_bytes(b"not a tensor file")
    with pytest.raises(InputError, match="expected a safetensors file"):
        convert.run(["verify", str(garbled)])
    without = tmp_path / "without.safetensors"
    save_file({"inputs.input_ids": torch.zeros(1)}, without, metadata={"config": "{}"})
    with pytest.raises(InputError, match=r"lacks outputs\.logits or outputs\.inputs_embeds, w"):
        convert.run(["verify", str(without)])
    save_file(dict(golden.tensors), without, metadata={"config": "{}"})
    with pytest.raises(InputError, match="official configuration lacks 'mm_vision_tower_aux_list'"):
        convert.run(["verify", str(without)])


def test_all_wrong_keys_of_a_checkpoint_are_listed(golden: Golden) -> None:
    weights = golden.under("weights.")
    weights["model.vision_query"] = torch.zeros(2, 48)
    weights["model.vision_tower_aux_list.0.weight"] = torch.zeros(1)
    weights["model.layers.9.mlp.up_proj.weight"] = torch.zeros(1)
    del weights["lm_head.weight"]
    with pytest.raises(ValueError, match="4 problems") as error:
        load_official_checkpoint(weights, golden.config)
    message = str(error.value)
    assert "mis-shaped: model.vision_query is (2, 48), expected (1, 48)" in message
    assert "unexpected: model.vision_tower_aux_list.0.weight" in message
    assert "unexpected: model.layers.9.mlp.up_proj.weight" in message
    assert "missing: lm_head.weight" in message


def test_official_towers_are_known_by_name(golden: Golden) -> None:
    official = dict(golden.config) | {
        "mm_vision_tower_aux_list": [
            "facebook/dinov2-giant-res378-interp16",
            "clip-convnext-XXL-multi-stage",
        ],
        "mm_vision_tower_aux_token_len_list": [16, 64],
    }
    del official["fake_hidden_sizes"]
    dinov2, convnext = config_from_official(official).tower_specs
    assert (dinov2.dim, dinov2.input_side_px, dinov2.grid_side) == (1536, 378, 4)
    assert (convnext.dim, convnext.input_side_px, convnext.grid_side) == (5760, 1024, 8)
    official["mm_vision_tower_aux_list"] = ["somebody/else", "clip-convnext-XXL-multi-stage"]
    with pytest.raises(ValueError, match="unknown vision tower 'somebody/else'; the published"):
        config_from_official(official)
