"""Speed and memory of the SVA against a direct transcription of its published equations.

Two scopes, forward and backward, at 8B sizes: ``sva`` is the connector (3 layers) and one sampler
of the language model, from projected tower features on; ``path`` adds the per-tower projectors and
``mm_projector``: all of the vision path but the towers. The direct form projects every key and
value and computes one small attention problem for each query. Both forms have the same weights and
inputs, each runs in a process of its own, and their outputs and gradients are compared. Memory is
what a step adds to weights and inputs: the rise of the process's peak on a CPU, of the allocator's
on a GPU.

Needs torch, transformers and timm; about 5 minutes and 4 GB at the defaults on 2 CPU cores. Prints
one table and one JSON line.

    PYTHONPATH=.:src python benchmarks/sva.py
    PYTHONPATH=.:src python benchmarks/sva.py --device cuda --dtype bf16 --images 8
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.connector import Connector, projector
from models.sva import SamplerLayer
from models.windows import Windows, make_windows

SIZES = {
    # vision width, language width, grid sides, tower widths
    "8b": (1024, 4096, (24, 24, 24, 96), (1152, 1024, 1536, 5760)),
    "small": (64, 128, (6, 6, 6, 24), (72, 64, 96, 360)),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DEPTH = 3
HEADS = 16
IMAGE_WH = (640, 480)
SCOPES = ("sva", "path")
Layer = Callable[[SamplerLayer, Tensor, Windows], Tensor]


def published_layer(layer: SamplerLayer, query: Tensor, windows: Windows) -> Tensor:
    """Equations of cambrian.md section 6, as published: one attention problem for each query."""
    x_N1q = query[:, None]
    context_N1V = windows.context[windows.image_index][:, None]
    inner = layer.proj_in(torch.cat([x_N1q, layer.proj_context(context_N1V)], dim=-1))
    keys, values = [], []
    for t, tokens in enumerate(windows.keys):
        placed = tokens + layer.pos_embed[str(t)] if str(t) in layer.pos_embed else tokens
        keys.append(layer.k_proj[t](placed))
        values.append(layer.v_proj[t](placed))

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    attended = F.scaled_dot_product_attention(
        heads(layer.q_proj(inner)),
        heads(torch.cat(keys, dim=1)),
        heads(torch.cat(values, dim=1)),
        attn_mask=torch.cat(windows.masks, dim=1)[:, None, None],
    )
    inner = inner + layer.o_proj(attended.transpose(1, 2).flatten(2))
    return (x_N1q + layer.proj_out(layer.norm(inner)))[:, 0]


FORMS: dict[str, Layer] = {"direct": published_layer, "ours": SamplerLayer.forward}


class VisionPath(nn.Module):
    """The trainable vision path with one sampler, computed in one of the forms."""

    def __init__(self, size: str, form: str) -> None:
        super().__init__()
        dim, width, grids, tower_dims = SIZES[size]
        side = grids[0]
        self.layer = FORMS[form]
        self.form = form
        self.side = side
        self.projectors = nn.ModuleList(projector(tower_dim, dim) for tower_dim in tower_dims)
        self.query = nn.Parameter(torch.randn(1, dim) * dim**-0.5)
        self.connector = Connector(dim, [side], grids, depth=DEPTH, image_side=side)
        self.mm_projector = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Linear(width, width))
        self.sampler = SamplerLayer(width, dim, [grid // side for grid in grids])
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if isinstance(module, nn.LayerNorm):
                nn.init.normal_(module.weight, mean=1, std=0.1)
                nn.init.normal_(module.bias, std=0.1)

    def forward(
        self, grids: Sequence[Tensor], hidden: Tensor, *, whole: bool
    ) -> tuple[Tensor, ...]:
        if whole:
            grids = [project(grid) for project, grid in zip(self.projectors, grids, strict=True)]
        windows = make_windows(grids, [IMAGE_WH] * len(grids[0]), self.side)
        if self.form == "ours":
            cells = self.connector(self.query, [windows])
        else:
            queries = self.query.expand(len(windows.image_index), -1)
            for layer in self.connector[0]:
                queries = self.layer(layer, queries, windows)
            cells = queries.unflatten(0, (-1, self.side**2))
        if whole:
            cells = self.mm_projector(cells)
        return cells, self.layer(self.sampler, hidden, windows)


def memory_bytes(device: str, *, peak: bool) -> int:
    """Memory of this process, or of its allocator on the GPU: now, or at its highest so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * resource.getpagesize()


def build(
    arguments: argparse.Namespace, form: str, *, whole: bool
) -> tuple[VisionPath, list[Tensor], Tensor]:
    """The path, tower features (projected ones unless ``whole``) and hidden states of the cells."""
    torch.manual_seed(0)
    dim, width, grid_sides, tower_dims = SIZES[arguments.size]
    path = VisionPath(arguments.size, form)
    dims = tower_dims if whole else [dim] * len(tower_dims)
    place = {"device": arguments.device, "dtype": DTYPES[arguments.dtype]}
    features = [
        torch.randn(arguments.images, side**2, channels).to(**place).requires_grad_(not whole)
        for side, channels in zip(grid_sides, dims, strict=True)
    ]
    hidden = torch.randn(arguments.images * grid_sides[0] ** 2, width).to(**place)
    return path.to(**place), features, hidden.requires_grad_()


def measure(arguments: argparse.Namespace, scope: str, form: str, saved: Path) -> None:
    """Times one form in this process; leaves figures, outputs and gradients in ``saved``."""
    torch.set_num_threads(arguments.threads)
    whole = scope == "path"
    path, features, hidden = build(arguments, form, whole=whole)
    leaves = dict(path.named_parameters()) | {"hidden": hidden}
    leaves |= {f"tower {t}": grid for t, grid in enumerate(features) if grid.requires_grad}
    before = memory_bytes(arguments.device, peak=False)

    def now() -> float:
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    rounds = []
    for _ in range(arguments.repeats + 1):
        for leaf in leaves.values():
            leaf.grad = None
        start = now()
        outputs = path(features, hidden, whole=whole)
        middle = now()
        torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
        rounds.append((middle - start, now() - middle))
    tensors = {f"output {i}": output for i, output in enumerate(outputs)}
    tensors |= {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    forward_s, backward_s = zip(*rounds[1:], strict=True)  # the first one warms up
    figures = {
        "forward_s": statistics.median(forward_s),
        "backward_s": statistics.median(backward_s),
        "step_s": statistics.median(map(sum, rounds[1:])),
        "memory_gb": (memory_bytes(arguments.device, peak=True) - before) / 1e9,
    }
    tensors = {name: value.detach().cpu() for name, value in tensors.items()}
    torch.save({"figures": figures, "tensors": tensors}, saved)


def run_alone(arguments: argparse.Namespace, scope: str, form: str) -> dict[str, dict]:
    """Runs `measure` in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "results.pt"
        process = multiprocessing.get_context("spawn").Process(
            target=measure, args=(arguments, scope, form, saved)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{scope}, {form}: the process ended with code {process.exitcode}")
        return torch.load(saved, weights_only=True)


def largest_difference(ours: dict[str, Tensor], direct: dict[str, Tensor], prefix: str) -> float:
    """Largest of |ours - direct| / largest |direct| over outputs, or over gradients."""
    if ours.keys() != direct.keys():
        raise SystemExit(f"the forms differ in what they compute: {ours.keys() ^ direct.keys()}")
    chosen = [name for name in ours if name.startswith("output") == (prefix == "output")]
    return max(
        float((ours[name].float() - direct[name].float()).abs().max() / direct[name].abs().max())
        for name in chosen
    )


def compare(arguments: argparse.Namespace, scope: str) -> dict[str, object]:
    """Pairs of fresh processes in turn: a machine that slows down does so for both forms."""
    pairs = [
        tuple(run_alone(arguments, scope, form) for form in FORMS) for _ in range(arguments.pairs)
    ]
    ratios = [d["figures"]["step_s"] / o["figures"]["step_s"] for d, o in pairs]
    direct, ours = sorted(
        pairs, key=lambda p: p[0]["figures"]["step_s"] / p[1]["figures"]["step_s"]
    )[len(pairs) // 2]
    return {
        "scope": scope,
        "direct": direct["figures"],
        "ours": ours["figures"],
        "speed_up": statistics.median(ratios),
        "speed_up_of_each_pair": sorted(ratios),
        "memory_ratio": ours["figures"]["memory_gb"] / direct["figures"]["memory_gb"],
        "output_difference": largest_difference(ours["tensors"], direct["tensors"], "output"),
        "gradient_difference": largest_difference(ours["tensors"], direct["tensors"], "gradient"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="fp32")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="steps a process")
    parser.add_argument("--pairs", type=int, default=3, help="processes of each form; odd")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--size", choices=tuple(SIZES), default="8b")
    parser.add_argument("--scopes", nargs="+", choices=SCOPES, default=list(SCOPES))
    arguments = parser.parse_args()
    results = [compare(arguments, scope) for scope in arguments.scopes]
    print(f"{'scope':6}{'form':8}" + "".join(f"{name:>12}" for name in results[0]["direct"]))
    for result in results:
        for form in FORMS:
            figures = "".join(f"{value:12.4f}" for value in result[form].values())
            print(f"{result['scope']:6}{form:8}{figures}")
        print(
            f"{result['scope']:6}{result['speed_up']:.2f} times as fast (each pair: "
            f"{', '.join(format(r, '.2f') for r in result['speed_up_of_each_pair'])}), "
            f"{result['memory_ratio']:.2f} of the memory; relative differences: "
            f"outputs {result['output_difference']:.1e}, "
            f"gradients {result['gradient_difference']:.1e}"
        )
    print(json.dumps({"benchmark": "sva", **vars(arguments), "results": results}))


if __name__ == "__main__":
    main()
