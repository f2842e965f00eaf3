"""Adapters: what they change, what they leave, and that merging them changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.lora import LoRASettings, adapter_start, add_lora, is_adapter, merged_tensors
from models.modeling import PMCCambrian
from models.parts import part_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:peft")

Features = Callable[[int], list[torch.Tensor]]
ModelMaker = Callable[..., PMCCambrian]


def inputs(features: Features) -> dict[str, Any]:
    return {
        "input_ids": torch.tensor([[1, -200, 5, 6, 7]]),
        "image_sizes_wh": torch.tensor([[40, 30]]),
        "tower_features": features(1),
    }


def trained(model: PMCCambrian, settings: LoRASettings) -> PMCCambrian:
    """The model with adapters that were moved away from their start."""
    add_lora(model, settings)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_new_adapters_change_no_output_and_are_all_that_trains(
    small_model: ModelMaker, features: Features
) -> None:
    model = small_model()
    before = model(**inputs(features)).logits
    add_lora(model, LoRASettings(rank=4, alpha=8.0))
    torch.testing.assert_close(model(**inputs(features)).logits, before, rtol=0, atol=0)
    for name, parameter in model.named_parameters():
        if part_of(name) == "language_model":
            assert parameter.requires_grad == is_adapter(name), name


def test_samplers_run_and_gradients_reach_adapters_and_connector(
    small_model: ModelMaker, features: Features
) -> None:
    model = trained(small_model().train(), LoRASettings(rank=4, alpha=8.0))
    model(**inputs(features), labels=torch.tensor([[-100, -100, -100, 6, 7]])).loss.backward()
    silent = {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    }
    assert not any("lora_" in name for name in silent)
    assert {part_of(name) for name, p in model.named_parameters() if p.grad is not None} >= {
        "samplers",
        "connector",
        "projectors",
        "language_model",
    }


def test_merged_weights_are_a_plain_model_with_the_same_outputs(
    small_model: ModelMaker, features: Features
) -> None:
    settings = LoRASettings(rank=4, alpha=8.0)
    model = trained(small_model(), settings)
    state = model.state_dict()
    plain = small_model()
    plain.load_state_dict(dict(merged_tensors(list(state), state.__getitem__, settings)))
    torch.testing.assert_close(
        plain(**inputs(features)).logits, model(**inputs(features)).logits, rtol=1e-5, atol=1e-5
    )


def test_start_values_depend_on_seed_and_name_alone(small_model: ModelMaker) -> None:
    models = [small_model(), small_model(), small_model()]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.rand(seed + 3)
        before = torch.get_rng_state()
        add_lora(model, LoRASettings(rank=2, alpha=2.0), seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
    first, same, other = (
        {name: p for name, p in model.named_parameters() if "lora_A" in name} for model in models
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_a_name_that_fits_nothing_is_refused_with_those_that_exist(small_model: ModelMaker) -> None:
    with pytest.raises(ValueError, match=r"\['query_proj'\].*q_proj"):
        add_lora(small_model(), LoRASettings(target_modules=("query_proj",)))
    with pytest.raises(ValueError, match="rank >= 1"):
        LoRASettings(rank=0)


def test_adapters_keep_no_wide_copy_of_what_they_read(small_model: ModelMaker) -> None:
    model = trained(small_model(), LoRASettings(rank=4, alpha=8.0))
    layer = model.language_model.model.layers[0].mlp.up_proj
    layer.base_layer.to(torch.bfloat16)
    read = torch.randn(3, layer.in_features, dtype=torch.bfloat16, requires_grad=True)
    saved: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        found = layer(read)
    assert {tensor.data_ptr() for tensor in saved if tensor.shape == read.shape} == {
        read.data_ptr()
    }
    down, up = (layer.get_submodule(name).default.weight.float() for name in ("lora_A", "lora_B"))
    expected = read.float() @ (layer.base_layer.weight.float() + 2.0 * up @ down).T
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["x.lora_A.default.weight", "x.lora_B.default.weight"])
def test_start_values_are_drawn_on_the_host_whatever_the_default_device(name: str) -> None:
    # Lightning builds a model in one process with its GPU as the default device.
    with torch.device("meta"):
        drawn = adapter_start(name, torch.Size([4, 8]), seed=3)
    assert torch.equal(drawn, adapter_start(name, torch.Size([4, 8]), seed=3))
