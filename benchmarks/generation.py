"""Batched cached generation against the uncached loop and against plain transformers.

    python benchmarks/generation.py                                      # tiny, CPU, one thread
    python benchmarks/generation.py --preset 8b --device cuda --dtype bfloat16

A batch of prompts, each with one image, is answered greedily with a fixed number of tokens:

- ours: `PMCCambrian.generate`, from pixels (towers, connector, fusion and samplers included);
- vision: `PMCCambrian.fuse` alone, what ours does before the decoder reads anything;
- uncached: the same with ``use_cache=False``, every step reading all anew;
- plain: ``generate`` of a decoder with the same configuration and weights, without samplers, fed
  embeddings of the same shape.

The ways take turns, and the median of each is told. ``decoding_ratio`` is (ours - vision) / plain:
what is left of it above 1 is the samplers at prefill and whatever we add to a step; the target is
at most 1.1. ``whole_ratio`` is ours / plain. ``same_tokens`` is the share of tokens that cached and
uncached answers have in common: 1 in float32, but for ties. The table and one JSON line go to
standard output.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from models.configuration import PMCCambrianConfig
from models.modeling import PMCCambrian
from models.presets import preset

SIZES_WH = ((640, 480), (512, 512), (480, 640), (1024, 512))


def main() -> None:
    """Prints the table and the JSON line."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    with torch.device(device):
        model = PMCCambrian(preset(arguments.preset)).to(dtype).eval()
    prompts = _prompts(model.config, arguments.batch_size, arguments.text_tokens, device, dtype)
    ways = _ways(model, prompts, arguments.new_tokens)
    same = (ways["ours"]() == ways["uncached"]()).float().mean().item()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(arguments.repeats + 1):
        for name, way in ways.items():
            if name == "uncached" and not 0 < turn <= arguments.uncached_repeats:
                continue
            took = _timed(way, device)
            if turn:  # the first turn warms up
                seconds[name].append(took)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    facts = {"parameters": sum(p.numel() for p in model.parameters()), "same_tokens": same}
    _report(arguments, medians, facts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--text-tokens", type=int, default=40)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--uncached-repeats", type=int, default=1)
    return parser.parse_args()


def _prompts(
    config: PMCCambrianConfig, batch_size: int, text_tokens: int, device: Any, dtype: torch.dtype
) -> dict[str, Any]:
    """Prompts of unequal length, each one image and random text; pixels are random."""
    generator = torch.Generator().manual_seed(1)
    vocabulary = config.text_config.vocab_size
    ids = torch.randint(10, vocabulary, (batch_size, text_tokens), generator=generator)
    ids[:, 3] = config.image_token_id
    mask = torch.ones_like(ids)
    for row in range(1, batch_size, 2):
        mask[row, -(text_tokens // 4) :] = 0
    sizes = torch.tensor([SIZES_WH[row % len(SIZES_WH)] for row in range(batch_size)])
    pixels = [
        torch.randn(batch_size, 3, spec.input_side_px, spec.input_side_px, generator=generator)
        for spec in config.tower_specs
    ]
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        "pixel_values": [tower.to(device, dtype) for tower in pixels],
        "image_sizes_wh": sizes,
    }


def _ways(
    model: PMCCambrian, prompts: dict[str, Any], new_tokens: int
) -> dict[str, Callable[[], Any]]:
    settings: dict[str, Any] = {
        "max_new_tokens": new_tokens,
        "do_sample": False,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    plain = _plain_decoder(model)
    with torch.no_grad():
        fused = model.fuse(**prompts, padding_side="left")
    embeds: dict[str, Any] = {
        "inputs_embeds": fused.inputs_embeds,
        "attention_mask": fused.attention_mask.long(),
    }

    @torch.no_grad()
    def vision() -> Any:
        return model.fuse(**prompts, padding_side="left")

    return {
        "ours": lambda: model.generate(**prompts, **settings),
        "vision": vision,
        "plain": lambda: plain.generate(**embeds, **settings),
        "uncached": lambda: model.generate(**prompts, **settings, use_cache=False),
    }


def _plain_decoder(model: PMCCambrian) -> Any:
    """The decoder's weights in a decoder of its own, which no sampler is attached to."""
    own = model.language_model
    plain = type(own)(copy.deepcopy(own.config)).to(own.device, own.dtype).eval()
    plain.load_state_dict(own.state_dict())
    return plain


def _timed(way: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _report(
    arguments: argparse.Namespace, seconds: dict[str, float], facts: dict[str, Any]
) -> None:
    new_tokens = arguments.batch_size * arguments.new_tokens
    decoding = seconds["ours"] - seconds["vision"]
    result = {
        "benchmark": "generation",
        **vars(arguments),
        **facts,
        "seconds": {name: round(taken, 4) for name, taken in seconds.items()},
        "decoding_ratio": round(decoding / seconds["plain"], 3),
        "whole_ratio": round(seconds["ours"] / seconds["plain"], 3),
        "cache_speedup": round(seconds["uncached"] / seconds["ours"], 2),
    }
    print(f"{'way':<10}{'seconds':>10}{'tokens/s':>12}")
    for name, taken in seconds.items():
        rate = "" if name == "vision" else f"{new_tokens / taken:.1f}"
        print(f"{name:<10}{taken:>10.3f}{rate:>12}")
    print(f"(ours - vision) / plain = {result['decoding_ratio']} (target: at most 1.1)")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
