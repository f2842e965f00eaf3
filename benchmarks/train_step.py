"""One training step from JPEG files to updated weights: tokens/s, images/s, MFU, memory, parts.

    python benchmarks/train_step.py --stage 2 --lora 64 --packing --loss chunked --compile \
        --device cuda --images DIR [--json F]

Builds a preset with random weights (nothing is downloaded), prepares real images in loader workers,
and runs forward, backward and AdamW as the stages do: frozen weights in bfloat16, trained ones in
float32 under autocast. Text is random token ids: what a token means costs nothing. Without
``--packing`` the same samples stand one in a row, padded to the longest. Counted FLOPs and the
three utilisations are those of `models.flops`; padding counts nothing. ``--model 3b`` puts a
decoder of Llama-3.2-3B's sizes behind the same vision path. Needs torch, torchvision,
transformers, timm, lightning and (for --lora) peft only.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from clock import Clock
from step_rows import Rows, collate, shape_of
from torch.utils.data import DataLoader

from models.acceleration import accelerate_blocks
from models.flops import PEAK_BF16_FLOPS, StepFlops, decoder_flops, image_flops
from models.host import sent
from models.modeling import PMCCambrian
from models.parts import part_of
from models.presets import preset
from models.stages import Annealing, ConnectorAlignment, InstructionTuning

STAGES = {1: ConnectorAlignment, 2: InstructionTuning, 3: Annealing}
LLAMA_3B = {
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
"""Sizes of Llama-3.2-3B (its published config.json)."""


def configuration(arguments):
    config = preset("tiny" if arguments.model == "tiny" else "8b")
    if arguments.model == "3b":
        config.text_config.update(LLAMA_3B)
    flexible = arguments.packing and arguments.device == "cuda"
    config.text_config._attn_implementation = "flex_attention" if flexible else "sdpa"
    config.text_config.use_cache = False
    return config


def build(config, arguments) -> PMCCambrian:
    """The model as its stage trains it: frozen in bfloat16, trained in float32."""
    torch.manual_seed(0)
    low = torch.bfloat16 if arguments.device == "cuda" else torch.float32
    torch.set_default_dtype(low)
    with torch.device(arguments.device):
        model = PMCCambrian(config)
    torch.set_default_dtype(torch.float32)
    parts = STAGES[arguments.stage].parts
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in parts)
    if arguments.lora:
        from models.lora import LoRASettings, add_lora

        add_lora(model, LoRASettings(rank=arguments.lora, alpha=1.0 * arguments.lora))
        model.language_model.to(arguments.device)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.loss_kind = arguments.loss
    model.train()
    accelerate_blocks(
        model, activation_checkpointing=arguments.checkpointing, compiled=arguments.compile
    )
    return model


def counted(model, config, arguments, images: int, shape: dict[str, int]) -> StepFlops:
    each = image_flops(config, STAGES[arguments.stage].parts)
    language, layers = decoder_flops(model.language_model, **shape)
    again = layers if arguments.checkpointing == "full" else 0.0
    return StepFlops(language, each.encoders * images, each.connector * images, again)


def run(arguments) -> dict:
    config = configuration(arguments)
    data = Rows(config, arguments)
    timed_steps = range(arguments.warmup, len(data))
    shapes = [shape_of(data[i], config, arguments.share) for i in timed_steps]
    began = time.perf_counter()
    model = build(config, arguments)
    built = time.perf_counter() - began
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    loader = DataLoader(
        data,
        batch_size=1,
        collate_fn=collate(config, arguments),
        num_workers=arguments.workers,
        pin_memory=arguments.device == "cuda",
        prefetch_factor=2 if arguments.workers else None,
    )
    clock, device = Clock(arguments.device), torch.device(arguments.device)
    for tower, spec in zip(model.towers, config.tower_specs, strict=True):
        clock.watch(tower, f"tower {spec.name}")
    for projector in model.projectors:
        clock.watch(projector, "projectors")
    clock.watch(model.connector, "connector")
    for sampler in model.samplers:
        clock.watch(sampler, "samplers (in decoder forward)")
    clock.watch(model.language_model.model, "decoder forward")
    autocast = torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.device == "cuda")

    def step_of(batch):
        inputs = {k: v for k, v in batch.items() if k != "example_ids"}
        # As training does: pixels are sent, ids and labels stay where batches are planned.
        inputs["pixel_values"] = [sent(p, device) for p in inputs["pixel_values"]]
        with clock.part("forward"), autocast:
            loss = model(**inputs).loss
        with clock.part("backward"):
            loss.backward()
        with clock.part("optimizer"):
            torch.nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    losses, durations, waits, batches = [], [], [], iter(loader)
    for step in range(len(data)):
        if step == arguments.warmup:
            clock.totals_ms()
            if arguments.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - began)
        losses.append(step_of(batch))
        durations.append(time.perf_counter() - began)
        print(f"step {step}: {durations[-1]:.3f} s, loss {losses[-1]:.3f}", flush=True)
    peak = torch.cuda.max_memory_allocated() if arguments.device == "cuda" else None
    parts_ms = clock.totals_ms()
    if arguments.profile:
        from torch.profiler import profile

        with profile() as profiled:
            step_of(batch)
        print(
            profiled.key_averages().table("cuda_time_total", row_limit=40, max_name_column_width=70)
        )
    timed = durations[arguments.warmup :]
    seconds = sum(timed) / len(timed)
    images = arguments.per_step * (1 if arguments.share else arguments.questions)
    flops = [counted(model, config, arguments, images, shape) for shape in shapes]
    shares = [f.utilisation(seconds, PEAK_BF16_FLOPS[arguments.gpu]) for f in flops]
    tokens = sum(shape["tokens"] for shape in shapes) / len(shapes)
    parts = {n: round(ms / len(timed), 2) for n, ms in parts_ms.items()}
    return {
        "benchmark": "train_step",
        **{k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()},
        "device_name": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "seconds_a_step": round(seconds, 4),
        "seconds_of_each_step": [round(d, 4) for d in timed],
        "tokens_a_step": round(tokens),
        "tokens_per_s": round(tokens / seconds),
        "images_per_s": round(images / seconds, 2),
        **{name: round(sum(s[name] for s in shares) / len(shares), 4) for name in shares[0]},
        "tflop_a_step": {
            "language model": round(
                sum(f.language_model.total for f in flops) / len(flops) / 1e12, 2
            ),
            "encoders": round(flops[0].encoders.total / 1e12, 2),
            "connector": round(flops[0].connector.total / 1e12, 2),
        },
        "waiting_for_data_s": round(sum(waits[arguments.warmup :]) / len(timed), 4),
        "peak_gib": None if peak is None else round(peak / 2**30, 2),
        "parts_ms": parts,
        "first_and_last_loss": [round(losses[0], 4), round(losses[-1], 4)],
        "build_s": round(built, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="8b", choices=["tiny", "3b", "8b"])
    parser.add_argument("--stage", type=int, default=2, choices=sorted(STAGES))
    parser.add_argument("--images", type=Path, required=True, help="folder of .jpg and .png files")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--gpu", default="h200", choices=sorted(PEAK_BF16_FLOPS))
    parser.add_argument("--tokens", type=int, default=8192, help="token budget of a step")
    parser.add_argument("--per-step", type=int, default=12, help="different images a step")
    parser.add_argument("--questions", type=int, default=1, help="samples an image")
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--share", action="store_true", help="encode an image once for all samples")
    parser.add_argument("--lora", type=int, default=0, help="rank; 0 trains in full")
    parser.add_argument("--compile", action="store_true", help="torch.compile, block by block")
    parser.add_argument("--loss", default="plain", choices=["plain", "chunked"])
    parser.add_argument("--checkpointing", default="none", choices=["none", "selective", "full"])
    parser.add_argument("--preprocessing", default="fast", choices=["reference", "fast"])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="kernels of one step more")
    parser.add_argument("--json", type=Path, help="append the JSON line here")
    arguments = parser.parse_args()
    result = run(arguments)
    for name, value in result.items():
        print(f"{name:24} {value}")
    line = json.dumps(result)
    print(line)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        with arguments.json.open("a") as out:
            out.write(line + "\n")


if __name__ == "__main__":
    main()
