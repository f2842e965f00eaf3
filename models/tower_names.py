"""Names of tower weights in published files, turned into timm's.

Four layouts are known, told apart by names that only they have:

- ``timm``: files of timm's hub, and of any other timm model;
- ``open_clip``: a timm trunk below ``visual.trunk.`` beside a text tower;
- ``transformers_clip``: CLIP and SigLIP of transformers, with or without their text half;
- ``transformers_dinov2``: DINOv2 of transformers, plain or SwiGLU.

A packed SwiGLU matrix holds gate and value in the same order in transformers and in timm, so it is
renamed only. Queries, keys and values are one matrix in timm.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_CLIP_RULES = (
    (r"^vision_model\.", ""),
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^pre_layrnorm\.", "norm_pre."),
    (r"^post_layernorm\.", "norm."),
    (r"^encoder\.layers\.(\d+)\.", r"blocks.\1."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.self_attn\.[qkv]_proj\.", ".attn.qkv."),
)
_DINOV2_RULES = (
    (r"^dinov2\.", ""),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.attention\.(?:query|key|value)\.", ".attn.qkv."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
)
_RULES = {
    "timm": (),
    "open_clip": ((r"^visual\.trunk\.", ""),),
    "transformers_clip": _CLIP_RULES,
    "transformers_dinov2": _DINOV2_RULES,
}
_TIMM_HEADS = ("head.", "attn_pool.", "fc_norm.", "mask_token")
UNUSED = {
    "timm": _TIMM_HEADS,
    "open_clip": (
        *(f"visual.trunk.{head}" for head in _TIMM_HEADS),
        "visual.head.",
        "text.",
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "attn_mask",
        "logit_scale",
        "logit_bias",
    ),
    "transformers_clip": (
        "text_model.",
        "text_projection.",
        "visual_projection.",
        "logit_scale",
        "logit_bias",
        "vision_model.embeddings.position_ids",
        "vision_model.head.",
    ),
    "transformers_dinov2": (
        "embeddings.mask_token",
        "dinov2.embeddings.mask_token",
        "classifier.",
    ),
}
"""By layout, how names begin that no tower takes on purpose: classification heads and attention
pools (features are taken before them), the text half, mask tokens of pre-training. A name that the
tower has is taken all the same: ConvNeXt's ``head.norm``, say."""
_QKV_ORDER = {"q_proj": 0, "query": 0, "k_proj": 1, "key": 1, "v_proj": 2, "value": 2}


@dataclass(frozen=True)
class NamePlan:
    """Which tensors of a file become which tensors of a timm model.

    Attributes:
        layout: One of the four above.
        sources: timm's name -> names in the file, to be concatenated on the first axis.
        unused: Names in the file that are left out on purpose.
    """

    layout: str
    sources: dict[str, tuple[str, ...]]
    unused: tuple[str, ...]


def plan_names(names: Iterable[str], wanted: Iterable[str]) -> NamePlan:
    """Recognises a file's layout and maps its names.

    Args:
        names: Names in the file.
        wanted: Names of the timm model that the weights are for.

    Returns:
        The plan; names of the file that are neither known nor left out stand in it unchanged.
    """
    names, wanted = sorted(names), set(wanted)
    layout = layout_of(names)
    sources: dict[str, list[str]] = {}
    unused = []
    for name in names:
        target = _to_timm(name, layout)
        if target not in wanted and name.startswith(UNUSED[layout]):
            unused.append(name)
        else:
            sources.setdefault(target, []).append(name)
    ordered = {target: tuple(sorted(parts, key=_qkv)) for target, parts in sources.items()}
    return NamePlan(layout, ordered, tuple(unused))


def layout_of(names: Iterable[str]) -> str:
    """Layout of a file by the names in it; timm's where no other is recognised."""
    for name in names:
        if name.startswith("visual.trunk."):
            return "open_clip"
        if name.endswith("embeddings.patch_embedding.weight"):
            return "transformers_clip"
        if name.endswith("embeddings.patch_embeddings.projection.weight"):
            return "transformers_dinov2"
    return "timm"


def _to_timm(name: str, layout: str) -> str:
    for pattern, replacement in _RULES[layout]:
        name = re.sub(pattern, replacement, name)
    return name


def _qkv(name: str) -> int:
    """Place of a query, key or value tensor among the three."""
    part = name.split(".")[-2] if "." in name else name
    return _QKV_ORDER.get(part, 0)
