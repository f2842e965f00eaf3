"""`semihvision prepare` on DeepLesion's layout: memory, rows a second, second runs, the pool.

Writes tables of ROWS rows, one key slice each, into a temporary folder. A few noisy 16-bit slices
stand under all names by hard links: a link is opened, hashed and decoded like a file of its own.
Then, in a fresh process each:

- first: one process, every image (64 x 64) new; memory is the growth of the process's peak.
- remembered: as if the records were lost and the images known: table, look-ups, records, Parquet.
- verified: the same, but every image is hashed.
- unchanged: nothing has changed since.
- by two: as first, with two workers allowed; such thumbnails are not worth a pool, so none starts.
- pool: slices of 512 x 512, as DeepLesion has; one process against two workers.

Other jobs on the machine change the time that passes, so the time the cores worked stands beside it
(`cpu_s`, workers included); the pool's speed-up on two free cores by that measure is the work of
one process over half of the work of all, or over the main process's own if that is more.

    python benchmarks/prepare.py [ROWS ...]        (default: 1000 10000 100000; ten minutes)
    python benchmarks/prepare.py --pool 2000       (the pool alone, 2,000 slices; two minutes)
"""

import argparse
import csv
import json
import os
import re
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

LINKS = 1000
"""Names of one file; file systems allow some ten thousands."""
POOL_SIZE = 512
SMALL_SIZE = 64


def write_source(root: Path, rows: int, size: int) -> None:
    # Not above: workers import this file again, and the command's own is light.
    import numpy as np
    from PIL import Image

    from data_modules.deeplesion_rows import COLUMNS

    random = np.random.default_rng(0)
    root.mkdir()
    with (root / "DL_info.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for number in range(rows):
            series = f"{number // 100 + 1:06d}_01_01"
            path = root / "Images_png" / series / f"{number % 100:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if number % LINKS == 0:
                noise = random.normal(32768 + 40, 60, (size, size)).astype(np.uint16)
                first = root / f"slice {number}.png"
                Image.fromarray(noise).save(first, compress_level=1)
            path.hardlink_to(first)
            table.writerow(_row(number, f"{series}_{path.name}", size))


def _row(number: int, name: str, size: int) -> list[object]:
    return [
        name, number // 100 + 1, 1, 1, number % 100, "20, 30, 40, 30, 30, 22, 30, 38",
        "20, 22, 40, 38", "20, 16", "0.5, 0.5, 0.5", number % 8 + 1, 0,
        f"{number % 100}, {number % 100}", "0.8, 0.8, 5", f"{size}, {size}", "-175, 275", "F", 60,
        number % 3 + 1,
    ]  # fmt: skip


def measured(root: Path, out: Path, options: dict[str, Any]) -> dict[str, float]:
    """One preparation in this process, which has done nothing else."""
    import pyarrow.parquet

    from semihvision.cli.prepare import prepare

    assert pyarrow.parquet  # so that imports count neither as time nor as memory
    before, started, main = peak_mib(), time.perf_counter(), time.process_time()
    done = prepare("deeplesion", root, out, **options)
    main = time.process_time() - main
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall_s": time.perf_counter() - started,
        "cpu_s": main + workers.ru_utime + workers.ru_stime,
        "main_cpu_s": main,
        "grown_mib": peak_mib() - before,
        "examined": done.images_examined,
        "records": done.counts["records"],
    }


def peak_mib() -> float:
    """Of this process alone; `getrusage` would start from its parent's peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def in_a_fresh_process(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def runs_of(folder: Path, rows: int) -> dict[str, dict[str, float]]:
    root, out = folder / f"{rows}", folder / f"{rows}.parquet"
    write_source(root, rows, SMALL_SIZE)
    results = {"first": in_a_fresh_process(measured, root, out, {})}
    out.unlink()
    results["remembered"] = in_a_fresh_process(measured, root, out, {})
    results["verified"] = in_a_fresh_process(measured, root, out, {"verify": True})
    results["unchanged"] = in_a_fresh_process(measured, root, out, {})
    other = folder / f"{rows} by two.parquet"
    results["by two"] = in_a_fresh_process(measured, root, other, {"workers": 2})
    assert [found["examined"] for found in results.values()] == [rows, 0, 0, 0, rows]
    assert {found["records"] for found in results.values()} == {rows}
    for found in results.values():
        found["rows_a_cpu_s"] = rows / found["cpu_s"]
    return {f"{rows:,} rows, {name}": found for name, found in results.items()}


def pool_runs(folder: Path, rows: int) -> dict[str, dict[str, float]]:
    root = folder / "large"
    write_source(root, rows, POOL_SIZE)
    results = {}
    for workers in (1, 2):
        load = os.getloadavg()[0]
        found = in_a_fresh_process(
            measured, root, folder / f"pool{workers}.parquet", {"workers": workers}
        )
        found |= {"rows_a_cpu_s": rows / found["cpu_s"], "load_before": load}
        results[f"{rows:,} of {POOL_SIZE} x {POOL_SIZE}, workers {workers}"] = found
    return results


def pool_speed_up(alone: dict[str, float], two: dict[str, float]) -> dict[str, float]:
    return {
        "by_wall": alone["wall_s"] / two["wall_s"],
        "by_cpu_on_two_free_cores": alone["cpu_s"] / max(two["cpu_s"] / 2, two["main_cpu_s"]),
    }


def second_runs(first: dict[str, float], again: dict[str, float]) -> dict[str, float]:
    return {
        "by_wall": first["wall_s"] / again["wall_s"],
        "by_cpu": first["cpu_s"] / again["cpu_s"],
    }


def growth(results: dict[str, dict[str, float]], sizes: list[int], run: str) -> float:
    """MiB for 1,000 rows more, between the smallest and the largest number of rows."""
    least, most = min(sizes), max(sizes)
    small, large = (results[f"{rows:,} rows, {run}"]["grown_mib"] for rows in (least, most))
    return 1000 * (large - small) / (most - least)


def show(results: dict[str, dict[str, float]], summary: dict[str, Any]) -> None:
    from semihvision.cli.output import print_table

    columns = ("wall_s", "cpu_s", "main_cpu_s", "rows_a_cpu_s", "grown_mib", "examined")
    print_table(
        "semihvision prepare deeplesion",
        ("run", *columns),
        [
            (name, *(f"{found[c]:,.4g}" if c != "examined" else f"{found[c]:,}" for c in columns))
            for name, found in results.items()
        ],
    )
    print(json.dumps({"runs": results, **summary}))


def main(sizes: list[int], pool_rows: int) -> None:
    results: dict[str, dict[str, float]] = {}
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            results |= runs_of(Path(folder), rows)
        pool = pool_runs(Path(folder), pool_rows)
    summary["pool_speed_up"] = pool_speed_up(*pool.values())
    if sizes:
        largest = f"{sizes[-1]:,} rows"
        first, again = results[f"{largest}, first"], results[f"{largest}, unchanged"]
        summary["second_run"] = second_runs(first, again)
    if len(sizes) > 1:
        summary["mib_per_1000_rows"] = {
            run: growth(results, sizes, run) for run in ("first", "by two")
        }
    show(results | pool, summary)


if __name__ == "__main__":
    made = argparse.ArgumentParser()
    made.add_argument("rows", type=int, nargs="*", default=[1000, 10_000, 100_000])
    made.add_argument("--pool", type=int, help="slices for the pool; with it, nothing else is run")
    given = made.parse_args()
    main(given.rows if given.pool is None else [], given.pool or 4000)
