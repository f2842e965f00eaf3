"""Golden files of an independent, loop-by-loop writing of cambrian.md sections 3 to 10 and 15.

Nothing of `models` computes here: every query, row and image is a loop of its own. Where the
official code works on the padded batch (attention masks, samplers at ``image_position``, greedy
tokens behind the padding), so does this, with the meaningless results that this gives.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, interpolate, layer_norm, silu

from models.parity import Parity, verify
from semihvision.cli import convert
from semihvision.core.errors import EXIT_CHECK_FAILED, InputError

V, H, VOCABULARY, LAYERS, DIMS, IMAGE, NUM_NEW = 32, 24, 40, 3, (6, 5, 7), -200, 4
CONFIG: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": H,
    "intermediate_size": 20,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5,
    "mm_vision_tower_aux_list": ["a", "b", "c"],
    "mm_vision_tower_aux_token_len_list": [16, 16, 64],
    "fake_hidden_sizes": list(DIMS),
    "mm_projector_type": "sva",
    "vision_hidden_size": V,
    "num_query_group": 1,
    "query_num_list": [16],
    "image_token_len": 16,
    "connector_depth": 2,
    "connector_only": False,
    "num_of_vision_sampler_layers": 2,
    "start_of_vision_sampler_layers": 0,
    "stride_of_vision_sampler_layers": 2,
    "image_position": 2,
}
ROWS = ([3, 4, IMAGE, 5, 6, 7, 8], [9, 10, IMAGE, 11, 12], [13, 14, IMAGE, 15, 16, 17])
SIZES = ((100, 45), (30, 90), (64, 64))
Weights = dict[str, Tensor]


def make_weights(config: dict[str, Any]) -> Weights:
    """A random state dict with the names and shapes of section 12."""
    shapes: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (VOCABULARY, H),
        "model.embed_tokens.weight": (VOCABULARY, H),
        "model.norm.weight": (H,),
        "model.vision_query": (len(config["query_num_list"]), V),
        "model.image_newline": (H,),
        "model.mm_projector.0.weight": (H, V * len(config["query_num_list"])),
        "model.mm_projector.0.bias": (H,),
        "model.mm_projector.2.weight": (H, H),
        "model.mm_projector.2.bias": (H,),
    }
    for t, dim in enumerate(DIMS):
        p = f"model.mm_projector_aux_{t}"
        shapes |= {f"{p}.0.weight": (V, dim), f"{p}.2.weight": (V, V), f"{p}.3.weight": (V,)}
        shapes |= {f"{p}.{i}.bias": (V,) for i in (0, 2, 3)}
    for i in range(LAYERS):
        p = f"model.layers.{i}"
        shapes |= {f"{p}.self_attn.{x}_proj.weight": (H, H) for x in "qo"}
        shapes |= {f"{p}.self_attn.{x}_proj.weight": (H // 2, H) for x in "kv"}
        shapes |= {f"{p}.mlp.{x}_proj.weight": (20, H) for x in ("gate", "up")}
        shapes |= {f"{p}.mlp.down_proj.weight": (H, 20)}
        shapes |= {f"{p}.{x}_layernorm.weight": (H,) for x in ("input", "post_attention")}
    layers = [
        (f"model.vision_sampler_{g}.layers.{d}", V, math.isqrt(number))
        for g, number in enumerate(config["query_num_list"])
        for d in range(config["connector_depth"])
    ]
    if not config["connector_only"]:
        side = math.isqrt(config["image_token_len"])
        number = config["num_of_vision_sampler_layers"]
        layers += [(f"model.vision_sampler_layers.{k}.layers.0", H, side) for k in range(number)]
    for p, width, side in layers:
        shapes |= {
            f"{p}.proj_context.weight": (V, V),
            f"{p}.proj_in.weight": (V, width + V),
            f"{p}.cross_attn.o_proj.weight": (V, V),
            f"{p}.norm.weight": (V,),
            f"{p}.norm.bias": (V,),
            f"{p}.proj_out.linear_1.weight": (V, V),
            f"{p}.proj_out.linear_2.weight": (width, V),
        }
        names = ["q_proj", *(f"{x}_proj_{t}" for t in range(3) for x in "kv")]
        for name in names:
            shapes |= {f"{p}.cross_attn.{name}.0.{x}": (V,) for x in ("weight", "bias")}
            shapes[f"{p}.cross_attn.{name}.1.weight"] = (V, V)
        for t, tokens in enumerate(config["mm_vision_tower_aux_token_len_list"]):
            if math.isqrt(tokens) != side:
                shapes[f"{p}.pos_embed_{t}"] = (tokens // side**2, V)
    scale = {1: 0.3, 2: 0.3}
    return {name: torch.randn(shape) * scale[len(shape)] for name, shape in shapes.items()}


def border(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of padding, section 3."""
    width, height = size
    if width / height > 1:
        return (side - int(height * (side / width))) // 2, 0
    return 0, (side - int(width * (side / height))) // 2


def norm(w: Weights, name: str, x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def sampler(w: Weights, p: str, x: Tensor, g: Tensor, keys: list[Tensor], seen: Tensor) -> Tensor:
    """One query through one layer, section 6."""
    u = w[f"{p}.proj_in.weight"] @ torch.cat([x, w[f"{p}.proj_context.weight"] @ g])
    c = f"{p}.cross_attn"
    query = w[f"{c}.q_proj.1.weight"] @ norm(w, f"{c}.q_proj.0", u)
    placed = [z + w.get(f"{p}.pos_embed_{t}", 0) for t, z in enumerate(keys)]
    k, v = (
        torch.cat(
            [
                norm(w, f"{c}.{x}_proj_{t}.0", z) @ w[f"{c}.{x}_proj_{t}.1.weight"].T
                for t, z in enumerate(placed)
            ]
        )
        for x in "kv"
    )
    attended = []
    for head in range(16):
        cut = slice(head * V // 16, (head + 1) * V // 16)
        score = (k[:, cut] @ query[cut]) / math.sqrt(V / 16)
        attended.append(score.masked_fill(~seen, -math.inf).softmax(0) @ v[:, cut])
    o = w[f"{c}.o_proj.weight"] @ torch.cat(attended)
    inner = gelu(w[f"{p}.proj_out.linear_1.weight"] @ norm(w, f"{p}.norm", u + o))
    return x + w[f"{p}.proj_out.linear_2.weight"] @ inner


def window(
    towers: list[Tensor], size: tuple[int, int], side: int, r: int, c: int
) -> tuple[list[Tensor], Tensor]:
    """Keys of one query and which of them it may see, section 5."""
    keys, seen = [], []
    for z in towers:
        a = math.isqrt(len(z))
        n = a // side
        top, left = border(size, a)
        cells = [(r * n + i, c * n + j) for i in range(n) for j in range(n)]
        keys.append(torch.stack([z[i * a + j] for i, j in cells]))
        flags = [top <= i < a - top and left <= j < a - left for i, j in cells]
        seen += flags if any(flags) else [True] * len(flags)
    return keys, torch.tensor(seen)


def image_grid(
    config: dict[str, Any], w: Weights, towers: list[Tensor], size: tuple[int, int]
) -> Tensor:
    """(S, S, H) image features, section 7."""
    groups = []
    s = math.isqrt(config["image_token_len"])
    for g, number in enumerate(config["query_num_list"]):
        q = math.isqrt(number)
        grid = torch.zeros(1, V, q, q)
        for r in range(q):
            for c in range(q):
                x = w["model.vision_query"][g]
                for d in range(config["connector_depth"]):
                    name = f"model.vision_sampler_{g}.layers.{d}"
                    x = sampler(w, name, x, towers[0].mean(0), *window(towers, size, q, r, c))
                grid[0, :, r, c] = x
        if q != s:
            grid = interpolate(grid, size=(s, s), mode="bilinear", align_corners=False)
        groups.append(grid[0].permute(1, 2, 0))
    p = "model.mm_projector"
    hidden = gelu(torch.cat(groups, -1) @ w[f"{p}.0.weight"].T + w[f"{p}.0.bias"])
    return hidden @ w[f"{p}.2.weight"].T + w[f"{p}.2.bias"]


def rms(weight: Tensor, x: Tensor) -> Tensor:
    return weight * x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt()


def attention(w: Weights, p: str, x: Tensor, kept: Tensor, positions: Tensor) -> Tensor:
    """One padded row; hidden keys get the smallest number, so a row without any sees all alike."""
    d = H // 4
    angle = positions[:, None] * 500000.0 ** (-torch.arange(0, d, 2) / d)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    q, k, v = (x @ w[f"{p}.{name}_proj.weight"].T for name in "qkv")

    def turn(y: Tensor) -> Tensor:
        return y * cos + torch.cat([-y[:, d // 2 :], y[:, : d // 2]], -1) * sin

    heads = []
    hidden = torch.ones(len(x), len(x)).triu(1).bool() | ~kept
    for head in range(4):
        mine, shared = slice(head * d, head * d + d), slice(head // 2 * d, head // 2 * d + d)
        score = turn(q[:, mine]) @ turn(k[:, shared]).T / math.sqrt(d)
        lowest = torch.finfo(score.dtype).min
        heads.append(score.masked_fill(hidden, lowest).softmax(-1) @ v[:, shared])
    return torch.cat(heads, -1) @ w[f"{p}.o_proj.weight"].T


Image = tuple[list[Tensor], tuple[int, int]]


def decode(
    config: dict[str, Any],
    w: Weights,
    x: Tensor,
    image: Image | None,
    kept: Tensor | None = None,
    positions: Tensor | None = None,
) -> Tensor:
    """Logits of one padded row, sections 9 and 10; `image`: towers and size of this row's entry."""
    kept = torch.ones(len(x), dtype=torch.bool) if kept is None else kept
    positions = torch.arange(len(x)) if positions is None else positions
    s = math.isqrt(config["image_token_len"])
    schedule = []
    if not config["connector_only"]:
        first, step = (config[f"{x}_of_vision_sampler_layers"] for x in ("start", "stride"))
        schedule = [first + k * step for k in range(config["num_of_vision_sampler_layers"])]
    for i in range(LAYERS):
        p = f"model.layers.{i}"
        y = rms(w[f"{p}.input_layernorm.weight"], x)
        x = x + attention(w, f"{p}.self_attn", y, kept, positions)
        y = rms(w[f"{p}.post_attention_layernorm.weight"], x)
        gate, up, down = (w[f"{p}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
        x = x + (silu(y @ gate.T) * (y @ up.T)) @ down.T
        if image is None or i not in schedule:
            continue
        (towers, size), at = image, config["image_position"]
        top, left = border(size, s)
        x = x.clone()
        for r in range(top, s - top):
            for c in range(left, s - left):
                name = f"model.vision_sampler_layers.{schedule.index(i)}.layers.0"
                seen = window(towers, size, s, r, c)
                x[at] = sampler(w, name, x[at], towers[0].mean(0), *seen)
                at += 1
            at += 1  # the newline
    return rms(w["model.norm.weight"], x) @ w["lm_head.weight"].T


def greedy(
    config: dict[str, Any], w: Weights, x: Tensor, image: Image | None, kept: Tensor
) -> list[int]:
    """New tokens behind one padded row; masked positions count as 1, others from 0."""
    ids: list[int] = []
    for _ in range(NUM_NEW):
        positions = (kept.long().cumsum(0) - 1).masked_fill(~kept, 1)
        # The samplers work in the prefill alone: decode steps see its states, as these do.
        ids.append(int(decode(config, w, x, image, kept, positions)[-1].argmax()))
        x = torch.cat([x, w["model.embed_tokens.weight"][ids[-1]][None]])
        kept = torch.cat([kept, torch.tensor([True])])
    return ids


def pad(rows: list[Tensor], value: float, side: str) -> Tensor:
    length = max(map(len, rows))
    padded = []
    for row in rows:
        rest = row.new_full((length - len(row), *row.shape[1:]), value)
        padded.append(torch.cat([rest, row] if side == "left" else [row, rest]))
    return torch.stack(padded)


@torch.no_grad()
def golden_tensors(
    config: dict[str, Any],
    rows: tuple[list[int], ...] = ROWS,
    sizes: Any = SIZES,
    *,
    with_mask: bool = True,
    masked: int = 0,
) -> dict[str, Tensor]:
    """Every entry of a golden file; each row without a placeholder consumes an image.

    `masked`: ids in front of every row that the attention mask hides.
    """
    w = make_weights(config)
    tokens = config["mm_vision_tower_aux_token_len_list"]
    features = [torch.randn(len(sizes), n, dim) for n, dim in zip(tokens, DIMS, strict=True)]
    projected = []
    for t, tower in enumerate(features):
        p = f"model.mm_projector_aux_{t}"
        hidden = gelu(tower @ w[f"{p}.0.weight"].T + w[f"{p}.0.bias"])
        projected.append(norm(w, f"{p}.3", hidden @ w[f"{p}.2.weight"].T + w[f"{p}.2.bias"]))
    table, limit = w["model.embed_tokens.weight"], config.get("tokenizer_model_max_length", 999)
    s, side = math.isqrt(config["image_token_len"]), config.get("tokenizer_padding_side", "right")
    entries: list[Image] = [([z[n] for z in projected], size) for n, size in enumerate(sizes)]
    images = iter(entries)
    embeds, labels = [], []
    for row in rows:
        parts: list[Tensor] = []
        label: list[int] = []
        if IMAGE not in row:
            next(images)
        for token in row:
            if token != IMAGE:
                parts.append(table[token])
                label.append(token if len(label) > 1 else -100)
                continue
            towers, size = next(images)
            grid = image_grid(config, w, towers, size)
            top, left = border(size, s)
            for r in range(top, s - top):
                parts += [*grid[r, left : s - left], w["model.image_newline"]]
            label += [-100] * (len(parts) - len(label))
        embeds.append(torch.stack(parts)[:limit])
        labels.append(torch.tensor(label)[:limit])
    kept = pad([torch.ones(len(x)) for x in labels], 0, side) > 0
    seen = kept if with_mask else torch.ones_like(kept)
    padded, expanded = pad(embeds, 0, side), pad(labels, -100, side)
    # Row i of the decoder meets entry i, whatever the row holds.
    batch = list(zip(padded, entries, seen, strict=False))
    logits = torch.stack([decode(config, w, x, image, mask) for x, image, mask in batch])
    fill = [torch.full((masked,), 1)] * len(rows)
    ids = [torch.cat([f, torch.tensor(row)]) for f, row in zip(fill, rows, strict=True)]
    attended = [
        torch.cat([0 * f, torch.ones(len(r)).long()]) for f, r in zip(fill, rows, strict=True)
    ]
    given = [[-100, -100, *row[2:]] for row in rows]
    tensors = {
        **{f"weights.{name}": value for name, value in w.items()},
        **{f"inputs.tower_features.{t}": tower for t, tower in enumerate(features)},
        "inputs.image_sizes_wh": torch.tensor(sizes),
        "inputs.input_ids": pad(ids, 0, "right"),
        "inputs.labels": pad(
            [torch.cat([f, torch.tensor(row)]) for f, row in zip(fill, given, strict=True)],
            -100,
            "right",
        ),
        "outputs.inputs_embeds": padded,
        "outputs.expanded_labels": expanded,
        "outputs.logits": logits,
        "outputs.loss": cross_entropy(logits[:, :-1].flatten(0, 1), expanded[:, 1:].flatten()),
        "outputs.greedy_ids": torch.tensor([greedy(config, w, *entry) for entry in batch]),
    }
    if with_mask:
        tensors["inputs.attention_mask"] = pad(attended, 0, "right").bool()
        tensors["outputs.expanded_attention_mask"] = kept
    return tensors


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
        (CONFIG, [[30, 90], [64, 64]], "3 image placeholders in the batch but 2 images"),
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
