"""Named configurations: ``tiny`` learns on a CPU in seconds, ``8b`` has the published sizes."""

from collections.abc import Callable
from typing import Any

from .configuration import PMCCambrianConfig, TowerSpec
from .tokenizer import TINY_SPECIAL_IDS, TINY_VOCABULARY_SIZE

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_COLOUR = (122, 116, 104)
IMAGENET_COLOUR = (123, 116, 103)
TOWER_DTYPE = "float16"
"""Of the 8b towers, as in the official inference (its training computes in bfloat16): 5.4 GB for
2.7 billion frozen parameters. On the golden towers features differ from float32 by 0.07 %
(relative root mean square), in bfloat16 by 0.5 %; on an H200 both take the same time."""


def _siglip(grid_side: int) -> TowerSpec:
    # The official wrapper pads with CLIP's mean although SigLIP normalises with 0.5.
    return TowerSpec(
        name="siglip/CLIP-ViT-SO400M-14-384",
        timm_model="vit_so400m_patch14_siglip_384",
        timm_kwargs={"global_pool": ""},
        weights="vit_so400m_patch14_siglip_384.webli",
        dtype=TOWER_DTYPE,
        input_side_px=384,
        features="last",
        grid_side=grid_side,
        dim=1152,
        padding_colour=CLIP_COLOUR,
    )


def _clip(grid_side: int) -> TowerSpec:
    # OpenAI's weights want QuickGELU; timm's plain variant would build the exact GELU.
    return TowerSpec(
        name="openai/clip-vit-large-patch14-336",
        timm_model="vit_large_patch14_clip_quickgelu_336",
        weights="vit_large_patch14_clip_quickgelu_336.openai",
        dtype=TOWER_DTYPE,
        input_side_px=336,
        features="second_last",
        grid_side=grid_side,
        dim=1024,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        padding_colour=CLIP_COLOUR,
    )


def _dinov2(grid_side: int) -> TowerSpec:
    return TowerSpec(
        name="facebook/dinov2-giant-res378",
        timm_model="vit_giant_patch14_dinov2",
        timm_kwargs={"img_size": 378},
        weights="vit_giant_patch14_dinov2.lvd142m",
        # The table is published for 37x37 patches; this is how the official environment reads it.
        position_rule="scale_factor",
        dtype=TOWER_DTYPE,
        input_side_px=378,
        features="last",
        grid_side=grid_side,
        dim=1536,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        padding_colour=IMAGENET_COLOUR,
    )


def _convnext(grid_side: int) -> TowerSpec:
    return TowerSpec(
        name="clip-convnext-XXL-multi-stage",
        timm_model="convnext_xxlarge",
        weights="convnext_xxlarge.clip_laion2b_soup",
        dtype=TOWER_DTYPE,
        input_side_px=1024,
        features="stages",
        grid_side=grid_side,
        dim=384 + 768 + 1536 + 3072,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        padding_colour=CLIP_COLOUR,
    )


OFFICIAL_TOWERS: dict[str, Callable[[int], TowerSpec]] = {
    "siglip/CLIP-ViT-SO400M-14-384": _siglip,
    "openai/clip-vit-large-patch14-336": _clip,
    "facebook/dinov2-giant-res378": _dinov2,
    "clip-convnext-XXL-multi-stage": _convnext,
}
"""The four towers of Cambrian-1 by their official names, each a function of the grid side."""


def _8b() -> PMCCambrianConfig:
    """Cambrian-1 8B. Source: cambrian.md sections 1, 10 and 12."""
    return PMCCambrianConfig(
        towers=[_siglip(24), _clip(24), _dinov2(24), _convnext(96)],
        text_config={
            "model_type": "llama",
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "bos_token_id": 128000,
            "eos_token_id": [128001, 128009],
            "pad_token_id": 128002,
        },
        vision_hidden_size=1024,
        query_num_list=[576],
        image_token_len=576,
        connector_depth=3,
        num_samplers=10,
        sampler_start=0,
        sampler_stride=3,
        tokenizer="meta-llama/Meta-Llama-3-8B-Instruct",
        max_sequence_length=2048,
    )


def _tiny_vit(name: str, timm_model: str, side_px: int, patch: int, **spec: Any) -> TowerSpec:
    timm_kwargs = {
        "img_size": side_px,
        "patch_size": patch,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        **spec.pop("timm_kwargs", {}),
    }
    return TowerSpec(
        name=name,
        timm_model=timm_model,
        timm_kwargs=timm_kwargs,
        input_side_px=side_px,
        dim=32,
        **spec,
    )


def _tiny() -> PMCCambrianConfig:
    """Four small towers, three of published kinds, and a small decoder; our choice."""
    siglip = _tiny_vit(
        "tiny-siglip",
        "vit_so400m_patch14_siglip_384",
        84,
        14,
        timm_kwargs={"global_pool": "", "mlp_ratio": 2},
        grid_side=6,
        padding_colour=CLIP_COLOUR,
    )
    clip = _tiny_vit(
        "tiny-clip",
        "vit_base_patch16_clip_quickgelu_224",
        64,
        8,
        timm_kwargs={"mlp_ratio": 2},
        features="second_last",
        grid_side=6,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        padding_colour=CLIP_COLOUR,
    )
    dinov2 = _tiny_vit(
        "tiny-dinov2",
        "vit_giant_patch14_dinov2",
        96,
        12,
        timm_kwargs={"mlp_ratio": 4},
        grid_side=6,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        padding_colour=IMAGENET_COLOUR,
    )
    # A residual network in place of ConvNeXt, whose layer norm over the channels of each cell drops
    # the contrast between cells: started from random weights, this one learned the organ, side,
    # number and size of phantom lesions in 80 steps, where ConvNeXt needed more than 120.
    resnet = TowerSpec(
        name="tiny-resnet-multi-stage",
        timm_model="resnet18",
        timm_kwargs={
            "layers": [1, 1, 1, 1],
            "channels": [16, 24, 32, 48],
            "stem_type": "deep",
            "stem_width": 8,
            "norm_layer": "groupnorm1",
        },
        input_side_px=96,
        features="stages",
        grid_side=12,
        dim=16 + 16 + 24 + 32 + 48,
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
        padding_colour=CLIP_COLOUR,
    )
    return PMCCambrianConfig(
        # The first tower gives the global context, so it is the one that learns fastest.
        towers=[resnet, siglip, clip, dinov2],
        text_config={
            "model_type": "llama",
            "vocab_size": TINY_VOCABULARY_SIZE,
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            # 1/sqrt(hidden_size): the usual 0.02 suits a width of thousands.
            "initializer_range": 0.088,
            **TINY_SPECIAL_IDS,
        },
        vision_hidden_size=64,
        query_num_list=[36],
        image_token_len=36,
        connector_depth=2,
        num_samplers=2,
        sampler_start=0,
        sampler_stride=2,
        tokenizer="tiny",
        max_sequence_length=1024,
    )


_PRESETS: dict[str, Callable[[], PMCCambrianConfig]] = {"tiny": _tiny, "8b": _8b}


def preset(name: str) -> PMCCambrianConfig:
    """Configuration of a preset.

    Args:
        name: ``tiny`` or ``8b``.

    Raises:
        ValueError: There is no such preset.
    """
    if name not in _PRESETS:
        raise ValueError(f"unknown preset {name!r}; known are {', '.join(_PRESETS)}")
    return _PRESETS[name]()
