"""Golden files of an independent, loop-by-loop writing of cambrian.md sections 3 to 10.

Nothing of `models` computes here: every query, row and image is a loop of its own.
"""

import json
import math
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
            if math.isqrt(tokens) > side:
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


def attention(w: Weights, p: str, x: Tensor) -> Tensor:
    length, d = len(x), H // 4
    angle = torch.arange(length)[:, None] * 500000.0 ** (-torch.arange(0, d, 2) / d)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    q, k, v = (x @ w[f"{p}.{name}_proj.weight"].T for name in "qkv")

    def turn(y: Tensor) -> Tensor:
        return y * cos + torch.cat([-y[:, d // 2 :], y[:, : d // 2]], -1) * sin

    heads = []
    future = torch.ones(length, length).triu(1).bool()
    for head in range(4):
        mine, shared = slice(head * d, head * d + d), slice(head // 2 * d, head // 2 * d + d)
        score = turn(q[:, mine]) @ turn(k[:, shared]).T / math.sqrt(d)
        heads.append(score.masked_fill(future, -math.inf).softmax(-1) @ v[:, shared])
    return torch.cat(heads, -1) @ w[f"{p}.o_proj.weight"].T


def decode(
    config: dict[str, Any],
    w: Weights,
    x: Tensor,
    image: tuple[int, list[Tensor], tuple[int, int]] | None,
) -> Tensor:
    """Logits of one row without padding, sections 9 and 10; `image`: start, towers, size."""
    s = math.isqrt(config["image_token_len"])
    for i in range(LAYERS):
        p = f"model.layers.{i}"
        x = x + attention(w, f"{p}.self_attn", rms(w[f"{p}.input_layernorm.weight"], x))
        y = rms(w[f"{p}.post_attention_layernorm.weight"], x)
        gate, up, down = (w[f"{p}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
        x = x + (silu(y @ gate.T) * (y @ up.T)) @ down.T
        if image is None or config["connector_only"] or i % 2:
            continue
        at, towers, size = image
        top, left = border(size, s)
        x = x.clone()
        for r in range(top, s - top):
            for c in range(left, s - left):
                name = f"model.vision_sampler_layers.{i // 2}.layers.0"
                seen = window(towers, size, s, r, c)
                x[at] = sampler(w, name, x[at], towers[0].mean(0), *seen)
                at += 1
            at += 1  # the newline
    return rms(w["model.norm.weight"], x) @ w["lm_head.weight"].T


def pad(rows: list[Tensor], value: float, side: str) -> Tensor:
    length = max(map(len, rows))
    padded = []
    for row in rows:
        rest = row.new_full((length - len(row), *row.shape[1:]), value)
        padded.append(torch.cat([rest, row] if side == "left" else [row, rest]))
    return torch.stack(padded)


@torch.no_grad()
def golden_tensors(
    config: dict[str, Any], rows: tuple[list[int], ...] = ROWS, sizes: Any = SIZES
) -> dict[str, Tensor]:
    """Every entry of a golden file; each row without a placeholder consumes an image."""
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
    images = iter(range(len(sizes)))
    embeds, labels, logits, greedy = [], [], [], []
    for row in rows:
        parts: list[Tensor] = []
        label: list[int] = []
        image = None
        if IMAGE not in row:
            next(images)
        for token in row:
            if token != IMAGE:
                parts.append(table[token])
                label.append(token)
                continue
            n = next(images)
            towers = [z[n] for z in projected]
            image = (len(parts), towers, sizes[n])
            grid = image_grid(config, w, towers, sizes[n])
            top, left = border(sizes[n], s)
            for r in range(top, s - top):
                parts += [*grid[r, left : s - left], w["model.image_newline"]]
            label += [-100] * (len(parts) - len(label))
        x = torch.stack(parts)[:limit]
        embeds.append(x)
        labels.append(torch.tensor(label)[:limit])
        logits.append(decode(config, w, x, image))
        # The samplers work in the prefill alone: decode steps see its states, as these do.
        ids: list[int] = []
        for _ in range(NUM_NEW):
            ids.append(int(decode(config, w, x, image)[-1].argmax()))
            x = torch.cat([x, table[ids[-1]][None]])
        greedy.append(ids)
    expanded = pad(labels, -100, side)
    padded = pad(logits, 0, side)
    return {
        **{f"weights.{name}": value for name, value in w.items()},
        **{f"inputs.tower_features.{t}": tower for t, tower in enumerate(features)},
        "inputs.image_sizes_wh": torch.tensor(sizes),
        "inputs.input_ids": pad([torch.tensor(row) for row in rows], 0, "right"),
        "inputs.attention_mask": pad([torch.ones(len(row)) for row in rows], 0, "right").bool(),
        "inputs.labels": pad([torch.tensor(row) for row in rows], -100, "right"),
        "outputs.inputs_embeds": pad(embeds, 0, side),
        "outputs.expanded_attention_mask": pad([torch.ones(len(x)) for x in labels], 0, side) > 0,
        "outputs.expanded_labels": expanded,
        "outputs.logits": padded,
        "outputs.loss": cross_entropy(padded[:, :-1].flatten(0, 1), expanded[:, 1:].flatten()),
        "outputs.greedy_ids": torch.tensor(greedy),
    }


Check = Callable[[dict[str, Any], dict[str, Tensor]], Parity]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def run(config: dict[str, Any], tensors: dict[str, Tensor]) -> Parity:
        path = tmp_path / "golden.safetensors"
        save_file(tensors, path, metadata={"config": json.dumps(config)})
        return verify(path)

    return run


CONNECTOR_ONLY = {k: v for k, v in CONFIG.items() if "_of_vision_sampler_layers" not in k} | {
    "connector_only": True
}
CASES = {
    "wide, tall and square": CONFIG,
    "Q below S": CONFIG | {"query_num_list": [4]},
    "two query groups": CONFIG | {"query_num_list": [4, 16], "num_query_group": 2},
    "connector only": CONNECTOR_ONLY | {"query_num_list": [4]},
    "padding on the left": CONNECTOR_ONLY | {"tokenizer_padding_side": "left"},
    "cut": CONFIG | {"tokenizer_model_max_length": 18},
}


@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
def test_a_batch_of_images_of_every_shape_is_the_official_one(
    config: dict[str, Any], check: Check
) -> None:
    rows = ROWS if "tokenizer_model_max_length" not in config else ROWS[:2]
    tensors = golden_tensors(config, rows, SIZES[: len(rows)])
    parity = check(config, tensors)
    assert parity.left_out == {}
    assert len(parity.differences) == 6
    assert parity.passed, parity.differences
    changed = [
        "model.vision_sampler_0.layers.1.pos_embed_2",
        "model.mm_projector_aux_2.3.bias",
        "model.image_newline",
        *([] if config["connector_only"] else ["model.vision_sampler_layers.1.layers.0.norm.bias"]),
    ]
    for name in changed:
        key = f"weights.{name}"
        assert not check(config, tensors | {key: tensors[key] * 1.1}).passed, name


def test_a_row_may_hold_two_images(check: Check) -> None:
    rows = ([3, IMAGE, 4, IMAGE, 5], [6, IMAGE, 7])
    parity = check(CONNECTOR_ONLY, golden_tensors(CONNECTOR_ONLY, rows))
    assert parity.left_out == {}
    assert parity.passed, parity.differences


def test_rows_of_text_count_except_where_official_samplers_spoil_them(check: Check) -> None:
    rows = (ROWS[0], [9, 10, 11, 12], ROWS[2])
    parity = check(CONNECTOR_ONLY, golden_tensors(CONNECTOR_ONLY, rows))
    assert parity.passed, parity.differences
    assert parity.left_out == {}
    tensors = golden_tensors(CONFIG, rows)
    tensors["outputs.logits"][1] += 1
    tensors["outputs.greedy_ids"][1] += 1
    parity = check(CONFIG, tensors)
    assert parity.passed, parity.differences
    assert parity.left_out.keys() == {"logits of rows 1", "loss", "greedy_ids of rows 1"}
    tensors["outputs.logits"][2] += 1
    assert not check(CONFIG, tensors).passed


def test_a_row_continued_behind_its_padding_is_left_out(check: Check) -> None:
    tensors = golden_tensors(CONFIG)
    lengths = tensors["outputs.expanded_attention_mask"].sum(1).tolist()
    short = lengths.index(min(lengths))
    tensors["outputs.greedy_ids"][short] = (tensors["outputs.greedy_ids"][short] + 1) % VOCABULARY
    parity = check(CONFIG, tensors)
    assert parity.passed, parity.differences
    assert list(parity.left_out) == [f"greedy_ids of rows {short}"]
    full = lengths.index(max(lengths))
    tensors["outputs.greedy_ids"][full] = (tensors["outputs.greedy_ids"][full] + 1) % VOCABULARY
    assert not check(CONFIG, tensors).passed


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


def test_padding_on_the_left_leaves_out_the_rows_that_official_samplers_spoil(
    check: Check,
) -> None:
    config = CONFIG | {"tokenizer_padding_side": "left"}
    tensors = golden_tensors(config)
    padded = (~tensors["outputs.expanded_attention_mask"][:, 0]).nonzero()[:, 0].tolist()
    assert padded
    tensors["outputs.logits"][padded] += 1
    parity = check(config, tensors)
    assert parity.passed, parity.differences
    listed = ", ".join(map(str, padded))
    assert parity.left_out.keys() == {
        f"logits of rows {listed}",
        "loss",
        f"greedy_ids of rows {listed}",
    }


@pytest.mark.parametrize(
    ("config", "sizes", "message"),
    [
        (CONFIG | {"tokenizer_model_max_length": 9}, None, "ends before or inside an image"),
        (CONFIG | {"tokenizer_padding_side": "both"}, None, "expected left or right"),
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
    config: dict[str, Any], sizes: list[list[int]] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "golden.safetensors"
    tensors = GOLDEN | ({"inputs.image_sizes_wh": torch.tensor(sizes)} if sizes else {})
    save_file(tensors, path, metadata={"config": json.dumps(config)})
    with pytest.raises(InputError, match=message):
        convert.run(["verify", str(path)])


GOLDEN = golden_tensors(CONFIG)
