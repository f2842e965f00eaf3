"""Images a second on one core for the four 8B towers: the fast path against the reference path.

One JPEG of 2000 x 1500 pixels, drawn in memory, from its bytes to four normalised tensors (384,
336, 378 and 1024 px). Both paths decode with PIL and run in turns. Rates are by the time the core
worked (CPU time of the one thread), since another job on the machine would change the time that
passed, which is shown beside it. Then how far the fast path is from the reference in 8-bit grey
levels. Takes half a minute; prints two tables and one JSON line.

    python benchmarks/preprocessing.py [FOLDER]

FOLDER: also compares on its first 60 PNG and JPEG images, e.g. those of VQA-RAD.
"""

import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from models.preprocessing import LEVELS, to_rgb, tower_pixels
from models.presets import preset
from semihvision.cli.output import print_table

SIZE = (2000, 1500)
ROUNDS = 12
REAL_IMAGES = 60
SPECS = preset("8b").tower_specs


def textured(width: int, height: int, seed: int = 0) -> Image.Image:
    """Random colours at four scales, the coarse ones strongest, as in photographs."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), dtype=np.float32)
    for cell, weight in ((300, 0.5), (40, 0.25), (6, 0.15), (1, 0.1)):
        shape = (-(-height // cell), -(-width // cell), 3)
        coarse = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
        total += weight * np.asarray(coarse.resize((width, height)), dtype=np.float32)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def phantom(width: int, height: int) -> Image.Image:
    """Bright ellipses with hard edges on black, and a little noise: a slice of a scan."""
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1) - 0.5
    slice_ = np.where((x / 0.42) ** 2 + (y / 0.46) ** 2 < 1, 90, 0)
    for centre, radius, level in ((-0.15, 0.12, 25), (0.15, 0.12, 25), (0.02, 0.04, 250)):
        slice_ = np.where((x - centre) ** 2 + y**2 < radius**2, level, slice_)
    noisy = slice_ + np.random.default_rng(0).normal(0, 4, slice_.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert("RGB")


def checkers(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(((x // 3 + y // 3) % 2 * 255).astype(np.uint8)).convert("RGB")


def noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


class Spent(NamedTuple):
    cpu_s: float
    wall_s: float


def spent(run: Callable[[], object]) -> Spent:
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def timings(jpeg: bytes) -> list[dict[str, str | float]]:
    def decode() -> Image.Image:
        return to_rgb(Image.open(io.BytesIO(jpeg)))

    runs: dict[str, Callable[[], object]] = {
        "decoding": decode,
        "reference": lambda: tower_pixels(decode(), SPECS, "reference"),
        "fast": lambda: tower_pixels(decode(), SPECS, "fast"),
    }
    for run in runs.values():
        run()
    taken: dict[str, list[Spent]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            taken[name].append(spent(run))
    cpu = {name: statistics.median(one.cpu_s for one in all_) for name, all_ in taken.items()}
    wall = {name: statistics.median(one.wall_s for one in all_) for name, all_ in taken.items()}
    return [
        {
            "path": name,
            "cpu_ms": round(1000 * cpu[name], 1),
            "wall_ms": round(1000 * wall[name], 1),
            "images_per_s": round(1 / cpu[name], 1),
            "ratio_cpu": round(cpu["reference"] / cpu[name], 2),
            "ratio_wall": round(wall["reference"] / wall[name], 2),
        }
        for name in runs
    ]


def deviation(name: str, images: Iterator[Image.Image]) -> list[dict[str, str | float]]:
    """Largest and mean difference of the paths per tower; the mean of each image's mean."""
    worst, means, count = [0] * len(SPECS), [0.0] * len(SPECS), 0
    for image in images:
        count += 1
        paths = (LEVELS["reference"](image, SPECS), LEVELS["fast"](image, SPECS))
        for t, (one, other) in enumerate(zip(*paths, strict=True)):
            difference = (one.int() - other.int()).abs()
            worst[t] = max(worst[t], int(difference.max()))
            means[t] += float(difference.float().mean())
    return [
        {
            "images": name,
            "n": count,
            "side_px": spec.input_side_px,
            "max_levels": worst[t],
            "mean_levels": round(means[t] / count, 5),
        }
        for t, spec in enumerate(SPECS)
    ]


def drawn(draw: Callable[[int, int], Image.Image]) -> Iterator[Image.Image]:
    """Square, wide and tall."""
    return (draw(*size) for size in (SIZE, SIZE[::-1], (1200, 1200), (512, 512), (901, 350)))


def real(folder: Path) -> Iterator[Image.Image]:
    for file in sorted(folder.iterdir())[:REAL_IMAGES]:
        with Image.open(file) as opened:
            yield to_rgb(opened)


def main() -> None:
    torch.set_num_threads(1)
    buffer = io.BytesIO()
    textured(*SIZE).save(buffer, "jpeg", quality=90)
    speed = timings(buffer.getvalue())
    title = f"One JPEG of {SIZE[0]}x{SIZE[1]} for four towers, one thread, medians of {ROUNDS}"
    print_table(title, tuple(speed[0]), [tuple(row.values()) for row in speed])
    rows = [
        row
        for draw in (textured, phantom, checkers, noise)
        for row in deviation(draw.__name__, drawn(draw))
    ]
    if len(sys.argv) > 1:
        rows += deviation("FOLDER", real(Path(sys.argv[1])))
    title = "Fast against reference, 8-bit grey levels"
    print_table(title, tuple(rows[0]), [tuple(row.values()) for row in rows])
    print(json.dumps({"benchmark": "preprocessing", "speed": speed, "deviation": rows}))


if __name__ == "__main__":
    main()
