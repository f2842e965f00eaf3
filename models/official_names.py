"""Names of weights: those of official Cambrian-1 checkpoints and ours, both ways.

Source: cambrian.md section 12. Towers, which official checkpoints lack, have no official name.
"""

import re
from collections.abc import Iterable

_PREFIXES = (
    # ours, official; {} is a number
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.embed_tokens.", "model.embed_tokens."),
    ("language_model.model.layers.", "model.layers."),
    ("language_model.model.norm.", "model.norm."),
    ("projectors.{}.", "model.mm_projector_aux_{}."),
    ("mm_projector.", "model.mm_projector."),
    ("query", "model.vision_query"),
    ("newline", "model.image_newline"),
    ("connector.{}.{}.", "model.vision_sampler_{}.layers.{}."),
    ("samplers.{}.", "model.vision_sampler_layers.{}.layers.0."),
)
_IN_SVA_LAYERS = (
    (".k_proj.{}.", ".cross_attn.k_proj_{}."),
    (".v_proj.{}.", ".cross_attn.v_proj_{}."),
    (".q_proj.", ".cross_attn.q_proj."),
    (".o_proj.", ".cross_attn.o_proj."),
    (".pos_embed.{}", ".pos_embed_{}"),
    (".proj_out.0.", ".proj_out.linear_1."),
    (".proj_out.2.", ".proj_out.linear_2."),
)
_Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(pairs: Iterable[tuple[str, str]], start: str = "") -> _Rules:
    made = []
    for found, wanted in pairs:
        end = "" if found.endswith(".") else "$"
        pattern = re.escape(found).replace(r"\{\}", r"(\d+)")
        replacement = wanted.replace("{}", r"\1", 1).replace("{}", r"\2", 1)
        made.append((re.compile(start + pattern + end), replacement))
    return tuple(made)


_TO_OWN = _rules(((official, own) for own, official in _PREFIXES), "^")
_TO_OFFICIAL = _rules(_PREFIXES, "^")
_TO_OWN_INSIDE = _rules((official, own) for own, official in _IN_SVA_LAYERS)
_TO_OFFICIAL_INSIDE = _rules(_IN_SVA_LAYERS)


def own_key(official_key: str) -> str | None:
    """Our name of an official weight; ``None`` for a name that the official layout lacks."""
    key = _renamed(official_key, _TO_OWN)
    if key is not None and key.startswith(("connector.", "samplers.")):
        return _renamed(key, _TO_OWN_INSIDE) or key
    return key


def official_key(own_key: str) -> str | None:
    """Official name of one of our weights; ``None`` for a tower's."""
    key = own_key
    if key.startswith(("connector.", "samplers.")):
        key = _renamed(key, _TO_OFFICIAL_INSIDE) or key
    return _renamed(key, _TO_OFFICIAL)


def _renamed(key: str, rules: _Rules) -> str | None:
    """The key after the first rule that fits; ``None`` if none does."""
    for pattern, replacement in rules:
        renamed, count = pattern.subn(replacement, key)
        if count:
            return renamed
    return None
