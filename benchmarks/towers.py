"""Frozen forward pass of the four 8B towers: images/s, TFLOP/s, peak memory, by way of running.

    python benchmarks/towers.py --device cuda --images 8 [--compile] [--json F]

Random weights; each tower in its own dtype (float16 at 8B) on a GPU, in float32 on a CPU. FLOPs
are counted by PyTorch, the peak is the data sheet's. Each
tower is timed apart, with its weights alone on the device.
"""

import argparse
import json
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.flops import PEAK_BF16_FLOPS
from models.presets import preset
from models.sharding import tower_blocks
from models.towers import VisionTower


def median_ms(run, device: str, repeats: int) -> float:
    """Median duration of a call in ms, after two calls that are not counted."""
    times = []
    for i in range(repeats + 2):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            elapsed = start.elapsed_time(end)
        else:
            import time

            began = time.perf_counter()
            run()
            elapsed = 1e3 * (time.perf_counter() - began)
        if i >= 2:
            times.append(elapsed)
    return sorted(times)[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="8b")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="torch.compile, block by block")
    parser.add_argument("--gpu", default="h200", choices=sorted(PEAK_BF16_FLOPS))
    parser.add_argument("--json", type=Path, help="append one JSON line here")
    arguments = parser.parse_args()
    rows = []
    for spec in preset(arguments.preset).tower_specs:
        torch.manual_seed(0)
        with torch.device(arguments.device):
            tower = VisionTower(spec)
            side = spec.input_side_px
            pixels = torch.randn(arguments.images, 3, side, side)
        if arguments.device == "cpu":
            tower.backbone.float()
        with FlopCounterMode(display=False) as counter:
            tower(pixels)
        if arguments.compile:
            for block in tower_blocks(tower):
                block.compile()
        if arguments.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        elapsed = median_ms(lambda t=tower, p=pixels: t(p), arguments.device, arguments.repeats)
        flops = counter.get_total_flops()
        rows.append(
            {
                "tower": spec.name,
                "ms": round(elapsed, 3),
                "images_per_s": round(1e3 * arguments.images / elapsed, 2),
                "tflop_per_image": round(flops / arguments.images / 1e12, 3),
                "tflop_per_s": round(flops / elapsed / 1e9, 2),
                "share_of_peak": round(flops / elapsed * 1e3 / PEAK_BF16_FLOPS[arguments.gpu], 4),
                "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)
                if arguments.device == "cuda"
                else None,
            }
        )
        print(rows[-1])
        del tower, pixels
    line = json.dumps({"benchmark": "towers", **vars(arguments), "towers": rows}, default=str)
    print(line)
    if arguments.json:
        with arguments.json.open("a") as out:
            out.write(line + "\n")


if __name__ == "__main__":
    main()
