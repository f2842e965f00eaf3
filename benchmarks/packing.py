"""Packed training against padded batches: real tokens a second on VQA-RAD's questions, tiny preset.

    python benchmarks/packing.py [--root ../shared/data/vqa_rad] [--samples 1024] [--json F]

The same questions, one sample each, in four ways:

- padded:  batches in random order, padded to their longest sample;
- grouped: batches of samples of similar length, padded to their longest sample;
- packed:  rows of a token budget, every question with its own image;
- shared:  the same, but an image is encoded once for all its questions in a row.

A step is collation, forward, backward and AdamW, as stage 2 has it (frozen towers). All ways have
the same number of tokens in a step, padding included, so that none gains by larger steps. Samples
are encoded beforehand, as loader workers do. Real tokens are those of the samples one by one: a
shared image counts once for each of its questions, as it would be read without sharing. The four
ways take turns, round by round; figures are medians over rounds, in seconds of processor time of
one thread, which other jobs on the machine disturb less than the clock on the wall. Before anything
is timed, the loss over all samples must be the same in all ways.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

import torch

from data_modules import VQARADDataModule
from data_modules.packed_dataset import PackedDataset
from data_modules.packing import Packing, plan_rows
from models.modeling import PMCCambrian
from models.parts import part_of
from models.processing import PMCCambrianProcessor
from models.stages import InstructionTuning


class Encoded:
    """Samples encoded once, in place of the loader's workers."""

    def __init__(self, dataset, count):
        self.samples = [dataset[index] for index in range(count)]

    def __getitem__(self, index):
        return self.samples[index]

    def encode(self, index, images):
        return self.samples[index]


def read_samples(root, processor, count, packing):
    """The first questions of the owners' training split, encoded, and what each takes of a row."""
    data = VQARADDataModule(
        str(root), processor=processor, uses=["qa"], validation_fraction=0.0, packing=packing,
        cache_images=True,
    )  # fmt: skip
    data.setup("fit")
    sizes = data.samples.sizes[:count]
    return Encoded(data.dataset("train"), len(sizes)), sizes


def padded_batches(order, sizes, step_tokens):
    """Consecutive samples, as many as stay below the tokens of a step when padded."""
    batches, batch, longest = [], [], 0
    for index in order:
        length = max(longest, sizes[index].tokens)
        if batch and length * (len(batch) + 1) > step_tokens:
            batches.append(batch)
            batch, length = [], sizes[index].tokens
        batch.append(index)
        longest = length
    return [*batches, batch]


def packed_batches(rows, rows_per_step):
    return [rows[start : start + rows_per_step] for start in range(0, len(rows), rows_per_step)]


def ways(processor, dataset, sizes, packing, rows_per_step):
    """Name of each way -> its batches, each a function that collates it."""
    step_tokens = rows_per_step * packing.tokens
    indices = list(range(len(sizes)))
    shuffled = random.Random(0).sample(indices, len(indices))
    grouped = sorted(shuffled, key=lambda index: sizes[index].tokens)
    made = {}
    for name, order in (("padded", shuffled), ("grouped", grouped)):
        batches = padded_batches(order, sizes, step_tokens)
        made[name] = [
            lambda b=batch: processor.collate([dataset[i] for i in b]) for batch in batches
        ]
    for name, share in (("packed", False), ("shared", True)):
        budget = Packing(tokens=packing.tokens, images=packing.images, share_images=share)
        rows = PackedDataset(dataset, plan_rows(sizes, budget, seed=0))
        batches = packed_batches(range(len(rows)), rows_per_step)
        made[name] = [
            lambda b=batch, r=rows: processor.pack([r[i] for i in b], packing.tokens)
            for batch in batches
        ]
    for batches in made.values():
        random.Random(1).shuffle(batches)
    return made


def tensors(batch):
    return {key: value for key, value in batch.items() if key != "example_ids"}


def check_equal_losses(model, made):
    """The mean loss over all samples, before any step, in every way."""
    losses = {}
    for name, batches in made.items():
        total = tokens = 0.0
        with torch.no_grad():
            for make in batches:
                output = model(**tensors(make()))
                total += output.loss_sum.item()
                tokens += output.num_trained_tokens.item()
        losses[name] = total / tokens
    spread = (max(losses.values()) - min(losses.values())) / min(losses.values())
    if spread > 1e-5:
        raise SystemExit(f"the losses differ by {spread:.1e}: {losses}")
    return losses, spread


def slots(batch, model):
    """Tokens of a batch with padding."""
    if "row_length" in batch:
        return batch["row_length"] * len(batch["input_ids"])
    with torch.no_grad():
        return model.fuse(**tensors(batch) | {"labels": None}).inputs_embeds.shape[:2].numel()


def train(model, optimizer, batches):
    start = time.process_time()
    for make in batches:
        optimizer.zero_grad()
        model(**tensors(make())).loss.backward()
        optimizer.step()
    return time.process_time() - start


def main(arguments):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = PMCCambrian.from_preset("tiny").train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in InstructionTuning.parts)
    model.set_attn_implementation(arguments.attention)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    packing = Packing(tokens=arguments.tokens, images=arguments.images)
    processor = PMCCambrianProcessor.from_preset("tiny")
    dataset, sizes = read_samples(arguments.root, processor, arguments.samples, packing)
    made = ways(processor, dataset, sizes, packing, arguments.rows)
    losses, spread = check_equal_losses(model, made)
    real = sum(size.tokens for size in sizes)
    times = {name: [] for name in made}
    for _ in range(arguments.rounds):
        for name, batches in made.items():
            times[name].append(train(model, optimizer, batches))
    result = {
        "samples": len(sizes), "images": len({size.shares for size in sizes}),
        "real_tokens": real, "row_tokens": arguments.tokens, "rows_per_step": arguments.rows,
        "attention": arguments.attention, "loss": losses["grouped"],
        "largest_loss_difference": spread, "load_average": os.getloadavg()[0],
    }  # fmt: skip
    grouped = statistics.median(times["grouped"])
    print(f"{'way':8} {'steps':>5} {'padding %':>9} {'images':>6} {'tokens/s':>8} {'gain':>6}")
    for name, batches in made.items():
        seconds = statistics.median(times[name])
        examples = [make() for make in batches]
        taken = sum(slots(batch, model) for batch in examples)
        images = sum(len(batch["image_sizes_wh"]) for batch in examples)
        # What a shared image saves is no padding: the tokens that a row really holds count here.
        held = sum(int(model.fuse(**tensors(b)).attention_mask.sum()) for b in examples)
        result[name] = {
            "steps": len(batches), "padding_percent": 100 * (1 - held / taken), "images": images,
            "seconds": times[name], "tokens_per_s": real / seconds, "gain": grouped / seconds,
        }  # fmt: skip
        print(
            f"{name:8} {len(batches):5} {result[name]['padding_percent']:9.1f} {images:6} "
            f"{real / seconds:8.0f} {grouped / seconds:6.2f}"
        )
    line = json.dumps(result)
    print(line)
    if arguments.json:
        arguments.json.write_text(line + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    shared = Path(os.environ.get("SEMIHVISION_REAL_DATA", "../shared"))
    parser.add_argument("--root", type=Path, default=shared / "data/vqa_rad")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=512, help="tokens of a packed row")
    parser.add_argument("--images", type=int, default=16, help="most images of a packed row")
    parser.add_argument("--rows", type=int, default=2, help="packed rows of a step")
    parser.add_argument("--attention", default="blocked_sdpa", help="or sdpa: a mask of whole rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    sys.exit(main(parser.parse_args()))
