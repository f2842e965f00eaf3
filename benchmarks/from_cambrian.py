"""Peak memory and time of `convert from-cambrian` against the largest shard of the checkpoint.

    python benchmarks/from_cambrian.py --megabytes 400 [--shards 3] [--folder DIR]

Writes a checkpoint of random float16 weights in the published layout (the tiny preset with a wider
and deeper decoder), then converts it in a process of its own. The peak is VmHWM less VmRSS at the
start, both of that process, so imports and the interpreter do not count; mapped pages do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.checkpoint import official_state_dict
from models.configuration import PMCCambrianConfig
from models.conversion import convert_official_folder
from models.modeling import PMCCambrian
from models.official_config import official_config
from models.presets import OFFICIAL_TOWERS, preset
from models.tokenizer import load_tokenizer
from models.towers import VisionTower
from models.weight_files import INDEX_FILE, PlannedTensor, write_tensors

MB = 1024**2
WIDTH, MLP = 1024, 4096


def make_checkpoint(folder, megabytes, num_shards):
    """Random weights, shard by shard, and files with the towers' weights."""
    config = preset("tiny")
    layers = max(1, round(megabytes * MB / 2 / (2.5 * WIDTH**2 + 3 * WIDTH * MLP)))
    sizes = {"hidden_size": WIDTH, "intermediate_size": MLP, "num_hidden_layers": layers}
    text = config.text_config.to_dict() | sizes | {"num_attention_heads": 16, "head_dim": 64}
    text |= {"num_key_value_heads": 4}
    config = PMCCambrianConfig.from_dict(config.to_dict() | {"text_config": text})
    with torch.device("meta"):
        state = official_state_dict(PMCCambrian(config))
    planned = [PlannedTensor(k, torch.float16, tuple(v.shape)) for k, v in state.items()]
    each = sum(tensor.num_bytes for tensor in planned) / num_shards
    index, done = {}, 0
    shards = [[] for _ in range(num_shards)]
    for tensor in planned:
        shards[min(int(done / each), num_shards - 1)].append(tensor)
        done += tensor.num_bytes
    folder.mkdir(parents=True)
    for i, held in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{num_shards:05d}.safetensors"
        write_tensors(folder / name, held, lambda k: torch.randn(state[k].shape).half() / 50, {})
        index |= {tensor.name: name for tensor in held}
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "config.json").write_text(json.dumps(official_config(config, image_position=5)))
    load_tokenizer("tiny").save_pretrained(folder)
    for i, spec in enumerate(config.tower_specs):
        save_file(VisionTower(spec).backbone.state_dict(), folder.parent / f"tower{i}.safetensors")


def convert(folder):
    """Converts and returns megabytes and seconds."""
    specs = preset("tiny").tower_specs
    files = {s.name: str(folder.parent / f"tower{i}.safetensors") for i, s in enumerate(specs)}
    before, start = memory_mb("VmRSS"), time.perf_counter()
    made = convert_official_folder(folder, folder.parent / "model", tower_weights=files)
    shards = [path.stat().st_size / MB for path in folder.glob("model-*.safetensors")]
    return {
        "checkpoint_mb": round(sum(shards)),
        "largest_shard_mb": round(max(shards), 1),
        "peak_mb": round(memory_mb("VmHWM") - before, 1),
        "seconds": round(time.perf_counter() - start, 2),
        "files": made.num_files,
    }


def memory_mb(field):
    """A field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the files go; left there")
    parser.add_argument("--convert-only", action="store_true", help="convert what is in --folder")
    arguments = parser.parse_args()
    # The towers of the tiny preset stand for the published ones.
    for spec in preset("tiny").tower_specs:
        OFFICIAL_TOWERS[spec.name] = lambda _side, spec=spec: spec
    if arguments.convert_only:
        print(json.dumps(convert(arguments.folder / "checkpoint")))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        make_checkpoint(folder / "checkpoint", arguments.megabytes, arguments.shards)
        command = [sys.executable, __file__, "--convert-only", "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    for name, value in figures.items():
        print(f"{name:<18}{value:>10}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
