"""Samplers inside a decoder: a plain loop, checkpointing, compilation, the cache."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from models.modeling import PMCCambrian

IMAGE = -200
FAMILIES = ["llama", "qwen2", "mistral"]
Model = Callable[..., PMCCambrian]
Features = Callable[[int], list[Tensor]]


def batch(features: Features) -> dict[str, Any]:
    """A row of two images, a row of text, a row that ends with an image."""
    rows = [[3, IMAGE, 4, 5, IMAGE, 6], [8, 9, 10, 11], [11, 12, IMAGE]]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[j < len(row) for j in range(length)] for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "image_sizes_wh": torch.tensor([[100, 60], [40, 40], [30, 90]]),
        "tower_features": features(3),
        "labels": torch.where(mask & (ids != IMAGE), ids, -100),
    }


def loss_and_gradients(model: PMCCambrian, inputs: dict[str, Any]) -> dict[str, Tensor]:
    model.train().zero_grad()
    loss = model(**inputs, use_cache=False).loss
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **gradients}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-4, msg=name)


def plain_loop(model: PMCCambrian, fused: Any) -> Tensor:
    """Logits of a loop over the layers that calls each sampler after its layer, without hooks."""
    decoder = copy.deepcopy(model.language_model.model)
    for layer in decoder.layers:
        layer._forward_hooks.clear()
    hidden = fused.inputs_embeds
    inputs = fused.sampler_inputs
    positions = torch.arange(hidden.shape[1])[None]
    rotary = decoder.rotary_emb(hidden, positions)
    visible = (
        torch.ones(hidden.shape[1], hidden.shape[1]).tril().bool() & fused.attention_mask[:, None]
    )
    # A padded query sees itself, so that its softmax is defined; it is compared nowhere.
    visible = visible | torch.eye(hidden.shape[1]).bool()
    for i, layer in enumerate(decoder.layers):
        hidden = layer(
            hidden,
            attention_mask=visible[:, None],
            position_ids=positions,
            position_embeddings=rotary,
        )
        if i in model.config.sampler_layers:
            sampler = model.samplers[model.config.sampler_layers[i]]
            flat = hidden.flatten(0, 1).clone()
            flat[inputs.positions] = sampler(flat[inputs.positions], inputs.windows)
            hidden = flat.view_as(hidden)
    return model.get_output_embeddings()(model.language_model.model.norm(hidden))


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_are_those_of_a_plain_loop(
    small_model: Model, features: Features, family: str
) -> None:
    model = small_model(text={"model_type": family})
    inputs = batch(features)
    fused = model.fuse(**inputs)
    real = fused.attention_mask
    cotangent = torch.randn(int(real.sum()), 50)
    parameters = {
        name: p
        for name, p in model.named_parameters()
        if not name.startswith(("towers", "language_model.model.layers"))
    }
    gradients = []
    hooked = model(**(inputs | {"labels": None})).logits[real]
    looped = plain_loop(model, fused)[real]
    torch.testing.assert_close(hooked, looped, atol=1e-5, rtol=1e-5)
    for logits in (hooked, looped):
        found = torch.autograd.grad(logits, list(parameters.values()), cotangent, allow_unused=True)
        gradients.append(dict(zip(parameters, found, strict=True)))
    for name, one in gradients[0].items():
        torch.testing.assert_close(one, gradients[1][name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_keeps_names_loss_and_gradients(
    small_model: Model, features: Features, family: str, reentrant: bool
) -> None:
    plain = small_model(text={"model_type": family})
    saving = copy.deepcopy(plain)
    saving.activation_checkpointing_enable({"use_reentrant": reentrant})
    assert saving.state_dict().keys() == plain.state_dict().keys()
    inputs = batch(features)
    assert_same(loss_and_gradients(saving, inputs), loss_and_gradients(plain, inputs))


# Dynamo looks at the gradients of inputs that are no leaves, and forbids its own warning.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize(
    "backend",
    ["eager", *(pytest.param(name, marks=pytest.mark.slow) for name in ("aot_eager", "inductor"))],
)
def test_layers_compiled_one_by_one_keep_names_loss_and_gradients(
    small_model: Model, features: Features, backend: str
) -> None:
    plain = small_model()
    compiled = copy.deepcopy(plain)
    for layer in compiled.language_model.model.layers:
        layer.compile(backend=backend)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    inputs = batch(features)
    assert_same(loss_and_gradients(compiled, inputs), loss_and_gradients(plain, inputs))
    torch._dynamo.reset()


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_prefill_and_decode_equal_the_uncached_forward(
    small_model: Model, features: Features, family: str
) -> None:
    model = small_model(text={"model_type": family})
    inputs = {"image_sizes_wh": torch.tensor([[9, 5]]), "tower_features": features(1)}
    prompt, rest = [3, IMAGE, 4], [7, 8, 9]
    whole = model(torch.tensor([prompt + rest]), **inputs).logits
    cache = DynamicCache(config=model.config.text_config)
    logits = [model(torch.tensor([prompt]), past_key_values=cache, use_cache=True, **inputs).logits]
    logits += [
        model(torch.tensor([[token]]), past_key_values=cache, use_cache=True).logits
        for token in rest
    ]
    torch.testing.assert_close(torch.cat(logits, dim=1), whole, atol=1e-5, rtol=1e-5)
