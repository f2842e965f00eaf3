"""Names of weights in the files that the towers' owners released."""

import pytest
import timm
import torch

from models.presets import preset
from models.tower_names import plan_names
from models.towers import VisionTower


def test_every_weight_of_8b_is_a_name_of_timms_hub_for_its_model() -> None:
    for made in preset("8b").tower_specs:
        published = timm.models.get_pretrained_cfg(str(made.weights), allow_unregistered=False)
        assert published is not None
        assert published.architecture == made.timm_model
        assert published.hf_hub_id.startswith("timm/")
        assert tuple(published.mean) == made.image_mean or made.timm_model == "convnext_xxlarge"


# Names as they stand in the released files; head and text names abbreviated to one each.
RELEASED = {
    "openai/clip-vit-large-patch14-336": [
        "logit_scale",
        "text_projection.weight",
        "visual_projection.weight",
        "text_model.final_layer_norm.weight",
        "vision_model.embeddings.position_ids",
    ],
    "facebook/dinov2-giant-res378": ["embeddings.mask_token"],
    "siglip/CLIP-ViT-SO400M-14-384": [
        "logit_bias",
        "logit_scale",
        "text.ln_final.weight",
        "visual.trunk.attn_pool.latent",
    ],
    "clip-convnext-XXL-multi-stage": [
        "logit_scale",
        "text_projection",
        "visual.head.mlp.fc1.weight",
    ],
}


def released_names(name: str, wanted: set[str]) -> list[str]:
    """A tower's names as the publishers write them, independent of `models.tower_names`."""
    if "clip-vit" not in name and "dinov2" not in name:
        return [f"visual.trunk.{key}" for key in wanted]
    dinov2 = "dinov2" in name
    table = [
        ("cls_token", "embeddings.cls_token" if dinov2 else "embeddings.class_embedding"),
        (
            "pos_embed",
            "embeddings.position_embeddings" if dinov2 else "embeddings.position_embedding.weight",
        ),
        (
            "patch_embed.proj",
            "embeddings.patch_embeddings.projection" if dinov2 else "embeddings.patch_embedding",
        ),
        ("norm_pre.", "pre_layrnorm."),
        ("attn.proj", "attention.output.dense" if dinov2 else "self_attn.out_proj"),
        ("attn.qkv", "attention.attention.{}" if dinov2 else "self_attn.{}_proj"),
        ("blocks.", "encoder.layer." if dinov2 else "encoder.layers."),
    ]
    if dinov2:
        table += [("ls1.gamma", "layer_scale1.lambda1"), ("ls2.gamma", "layer_scale2.lambda1")]
        table += [("mlp.fc1", "mlp.weights_in"), ("mlp.fc2", "mlp.weights_out")]
    else:
        table += [(".norm1.", ".layer_norm1."), (".norm2.", ".layer_norm2.")]
    names = []
    for key in sorted(wanted):
        for ours, theirs in table:
            key = key.replace(ours, theirs)
        if key.startswith("norm."):
            key = ("layernorm." if dinov2 else "post_layernorm.") + key.removeprefix("norm.")
        thirds = ("query", "key", "value") if dinov2 else ("q", "k", "v")
        prefix = "" if dinov2 else "vision_model."
        names += [prefix + key.format(third) for third in (thirds if "{}" in key else [""])]
    return names


@pytest.mark.parametrize("index", range(4))
def test_released_names_of_the_full_towers_are_understood(index: int) -> None:
    made = preset("8b").tower_specs[index]
    with torch.device("meta"):
        wanted = set(VisionTower(made).backbone.state_dict())
    extra = RELEASED[made.name]
    plan = plan_names([*released_names(made.name, wanted), *extra], wanted)
    assert plan.sources.keys() == wanted
    assert sorted(plan.unused) == sorted(extra)
    qkv = [parts for parts in plan.sources.values() if len(parts) > 1]
    assert all(len(parts) == 3 and "v" in parts[2].rsplit(".", 2)[1] for parts in qkv)
