"""Estimated bytes that a step keeps, against real tensors, equations and the peaks of a GPU."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from models import InstructionTuning
from models.lora import LoRASettings
from models.presets import preset
from models.stages.building import ModelPlan, build, meta_model
from semihvision.training.activations import BatchShape, activation_bytes
from semihvision.training.memory import Layout, loss_bytes, state_bytes
from semihvision.training.saved_tensors import Recorder


def stage_2(name: str, lora: LoRASettings | None) -> ModelPlan:
    return ModelPlan(config=preset(name), folder=None, parts=InstructionTuning.parts, lora=lora)


def kept_by(forward: Any, owned: list[torch.Tensor]) -> int:
    """Bytes of the storages that autograd saves of a real forward pass."""
    known = {t.untyped_storage().data_ptr() for t in owned}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        key = tensor.untyped_storage().data_ptr()
        if key not in known:
            kept[key] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = forward()
    assert output.last_hidden_state.requires_grad
    return sum(t.untyped_storage().nbytes() for t in kept.values())


@pytest.mark.parametrize("lora", [None, LoRASettings(rank=3)])
def test_the_decoder_keeps_what_a_real_one_keeps(lora: LoRASettings | None) -> None:
    plan = stage_2("tiny", lora)
    model = build(plan).model
    decoder: Any = model.language_model.model
    embeds = torch.randn(1, 96, 128, requires_grad=True)
    owned = [*model.parameters(), *model.buffers()]
    real = kept_by(lambda: decoder(inputs_embeds=embeds, use_cache=False), owned)
    batch = BatchShape(positions=96, scored_tokens=0, images=0)
    estimated = activation_bytes(meta_model(plan), batch, compute_dtype=None)
    assert estimated.weight_copies == 0
    assert estimated.activations == pytest.approx(real, rel=0.01)


def lora_plan(layers: int) -> ModelPlan:
    config = preset("tiny")
    config.text_config = LlamaConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=1280,
        pad_token_id=2,
    )
    return ModelPlan(
        config=config,
        folder=None,
        parts=InstructionTuning.parts,
        lora=LoRASettings(rank=8),
    )


def decoder_bytes(layers: int, policy: Any = "none") -> int:
    model = meta_model(lora_plan(layers))
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    return activation_bytes(
        model,
        BatchShape(positions=1000, scored_tokens=0, images=0),
        compute_dtype=torch.bfloat16,
        activation_checkpointing=policy,
    ).activations


def test_a_layer_under_autocast_keeps_what_its_equations_say() -> None:
    width, inner, keys, rank, heads = 256, 512, 128, 8, 4
    norms = 2 * 4 * width  # both norms' inputs in float32
    attention = 2 * (2 * width + 2 * keys) + 4 * heads  # q, k, v, output; float32 log-sums
    gate = 2 * 3 * inner  # gate, its SiLU, and up
    adapters = 2 * (2 * width + inner)  # inputs of q k v, gate up, down; o reads what is counted
    narrow = 7 * 2 * rank
    expected = 1000 * (norms + attention + gate + adapters + narrow)
    # One norm's scale per position, kept by each of both norms.
    expected += 1000 * 2 * 4
    assert decoder_bytes(5) - decoder_bytes(4) == pytest.approx(expected, rel=0.01)


def test_checkpointing_keeps_inputs_and_products() -> None:
    per_layer = {
        policy: decoder_bytes(5, policy) - decoder_bytes(4, policy)
        for policy in ("none", "selective", "full")
    }
    assert per_layer["full"] == 2 * 1000 * 256
    products = 2 * 1000 * (4 * 256 + 2 * 128 + 2 * 512)  # q o down attended, k v, gate up
    adapters = 2 * 1000 * (7 * 8 + 3 * 256 + 2 * 128 + 2 * 512)  # all downs, ups as above
    assert per_layer["selective"] == per_layer["full"] + products + adapters
    assert per_layer["full"] < per_layer["none"]
    # With adapters `selective` saves nothing: without it, nobody keeps what frozen maps give.
    assert per_layer["selective"] > per_layer["none"]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_keys_of_the_sva_have_the_dtype_of_a_run(dtype: torch.dtype | None) -> None:
    plan = stage_2("tiny", None)
    specs = plan.config.tower_specs
    shapes = [(1, spec.grid_side**2, spec.dim) for spec in specs]

    def windows(model: Any) -> Any:
        device = model.query.device
        return model.encode_images([torch.zeros(s, device=device) for s in shapes], [(1, 1)])[1]

    model = meta_model(plan)
    estimated = Recorder(model, dtype).run([], lambda: windows(model))
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        real = windows(build(plan).model)
    assert [x.dtype for x in estimated.keys] == [x.dtype for x in real.keys]
    assert real.keys[0].dtype == (dtype or torch.float32)


@pytest.mark.slow
def test_the_estimate_of_lora_is_near_its_peak_on_an_h200() -> None:
    # 94.4 GiB: benchmarks/train_step.py at revision 8b87b38 on one H200, 8,192 tokens with 12
    # images in a packed row, FlexAttention, bf16 autocast over frozen bf16 weights, no
    # checkpointing, nothing compiled. Since then the SVA's keys are converted to bfloat16 once: a
    # layer keeps no copy of a window, and one in float32 of what autocast's layer norms read, by
    # this estimate 1.9 GiB more. Compiled runs (76.0 GiB) keep less than what is estimated here.
    model = meta_model(stage_2("8b", LoRASettings(rank=64)))
    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.dtype == torch.float32:
            parameter.data = parameter.data.bfloat16()
    batch = BatchShape(positions=8192, scored_tokens=250, images=12)
    kept = activation_bytes(model, batch, compute_dtype=torch.bfloat16)
    layout = Layout(compute_dtype=torch.bfloat16)
    total = (
        state_bytes(model, 1).device_total
        + kept.activations
        + kept.weight_copies
        + loss_bytes(model, batch.scored_tokens, layout)
    )
    assert total / 2**30 == pytest.approx(94.4, rel=0.05)
