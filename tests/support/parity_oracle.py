"""Golden files of an independent, loop-by-loop writing of cambrian.md sections 3 to 10 and 15.

Nothing of `models` computes here: every query, row and image is a loop of its own. Where the
official code works on the padded batch (attention masks, samplers at ``image_position``, greedy
tokens behind the padding), so does this, with the meaningless results that this gives.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, interpolate, layer_norm, silu

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
