"""`semihvision fit -c FILE --estimate`: what a run will take, without a GPU and without images."""

import argparse
from dataclasses import asdict
from importlib import import_module
from typing import Any

import torch

from semihvision.cli.estimate_epoch import GivenSamples, epoch_of
from semihvision.cli.output import print_json, print_table, stderr
from semihvision.cli.train import parse_only
from semihvision.core.errors import EXIT_CHECK_FAILED, EXIT_DONE, InputError
from semihvision.training.estimate import (
    GPUS,
    changes_that_fit,
    fits,
    run_time,
    stage_plan,
)
from semihvision.training.memory import HEADROOM, Layout, MemoryBytes, memory_bytes

_DTYPES = {"bf16": torch.bfloat16, "16": torch.float16}


def run(argv: list[str]) -> int:
    """Prints the estimate of ``fit`` with these arguments.

    Args:
        argv: ``["fit", "-c", FILE, "--estimate", ...]``.

    Returns:
        0, or 4 where the GPUs cannot hold the run.
    """
    options, rest = _options().parse_known_args(argv[1:])
    _check(options)
    settings = parse_only(rest)
    model, trainer = settings["model"]["init_args"], settings["trainer"]
    plan = stage_plan(_class(settings["model"]["class_path"]), model)
    layout = Layout(
        ranks=options.gpus,
        compute_dtype=_DTYPES.get(str(trainer["precision"]).partition("-")[0]),
        loss=model["loss"],
        activation_checkpointing=model["activation_checkpointing"],
        cpu_offload=model["cpu_offload"],
        sharded=trainer["strategy"] == "fsdp",
    )
    epoch, note = epoch_of(
        settings,
        plan.config,
        gpus=options.gpus,
        given=GivenSamples(options.samples, options.tokens_per_sample, options.images_per_sample),
    )
    memory = memory_bytes(plan, layout, epoch.largest)
    document: dict[str, Any] = {
        "stage": settings["model"]["class_path"],
        "preset": model["preset"],
        "gpus": options.gpus,
        "gpu": options.gpu,
        "mfu": options.mfu,
        "assumptions": _assumptions(options, note),
        "batch": {**asdict(epoch.largest), "batches_per_step": epoch.batches_per_step},
        "memory_bytes": asdict(memory),
        "memory_total_bytes": memory.device_total,
        "gpu_memory_bytes": round(GPUS[options.gpu].memory_gib * 2**30),
        "fits": fits(memory, options.gpu),
        "changes_that_fit": [],
        "run": None,
    }
    if not document["fits"]:
        found = changes_that_fit(
            plan, layout, epoch.largest, items=epoch.items_per_batch, gpu=options.gpu
        )
        document["changes_that_fit"] = [
            {"change": c.text, "memory_total_bytes": c.memory.device_total} for c in found
        ]
    if epoch.items:
        document["run"] = asdict(
            run_time(
                plan,
                epoch,
                epochs=trainer["max_epochs"] or 1,
                max_steps=trainer["max_steps"],
                gpu=options.gpu,
                gpus=options.gpus,
                mfu=options.mfu,
            )
        )
    print_json(document) if options.json else _print(document, memory)
    return EXIT_DONE if document["fits"] else EXIT_CHECK_FAILED


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="semihvision fit --estimate", allow_abbrev=False)
    parser.add_argument("--estimate", action="store_true", help="no run: what it would take")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs in all, one process each")
    parser.add_argument("--gpu", choices=sorted(GPUS), default="h100", help="kind of GPU")
    parser.add_argument("--mfu", type=float, default=0.4, help="share of the peak, in (0, 1]")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on standard output"
    )
    parser.add_argument("--samples", type=int, default=0, help="in an epoch, instead of the data")
    parser.add_argument(
        "--tokens-per-sample", type=int, default=0, help="images expanded; with --samples"
    )
    parser.add_argument(
        "--images-per-sample",
        type=int,
        default=1,
        help="with --samples, or where unpacked data cannot be read",
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    if options.gpus < 1 or not 0 < options.mfu <= 1:
        raise InputError(
            f"--gpus {options.gpus} --mfu {options.mfu}: expected at least one GPU and 0 < mfu <= 1"
        )
    if options.samples < 0 or options.tokens_per_sample < 0 or options.images_per_sample < 0:
        raise InputError("--samples, --tokens-per-sample and --images-per-sample: expected >= 0")
    if bool(options.samples) != bool(options.tokens_per_sample):
        raise InputError("--samples needs --tokens-per-sample, and the other way round")


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _assumptions(options: argparse.Namespace, note: str) -> list[str]:
    gpu = GPUS[options.gpu]
    return [
        note,
        "text tokens all trained, images square where their size is not known",
        f"{gpu.memory_gib:g} GiB usable a GPU, {100 * HEADROOM:.0f} % of it left free",
        f"{100 * options.mfu:g} % of the dense bfloat16 peak, encoders counted",
        f"{gpu.power_w:g} W a GPU, all the time",
        "fused attention; activations as autograd keeps them, uncompiled",
    ]


def _print(document: dict[str, Any], memory: MemoryBytes) -> None:
    parts = {name: size for name, size in asdict(memory).items() if name != "host"}
    rows = [(name.replace("_", " "), _gib(size)) for name, size in parts.items()]
    if memory.host:
        rows.append(("of which in host memory", _gib(memory.host)))
    rows.append(("GPU total", _gib(memory.device_total)))
    gpus = f"{document['gpus']} x {document['gpu']}"
    print_table(f"Memory of one of {gpus}", ["part", "GiB"], rows)
    if document["run"]:
        run = document["run"]
        print_table(
            "Run",
            ["what", "how much"],
            [
                ("epochs", f"{run['epochs']:.3g}"),
                ("steps", f"{run['steps']:,}"),
                ("tokens", f"{run['tokens']:,}"),
                ("images", f"{run['images']:,}"),
                ("PFLOP", f"{run['pflops']:,.4g}"),
                ("hours", f"{run['hours']:.3g}"),
                ("GPU-hours", f"{run['gpu_hours']:.3g}"),
                ("energy, kWh", f"{run['energy_kwh']:.3g}"),
            ],
        )
    for line in document["assumptions"]:
        stderr.print(f"- {line}", markup=False, soft_wrap=True)
    if not document["fits"]:
        stderr.print(
            f"does not fit: {_gib(memory.device_total)} GiB needed, "
            f"{_gib(document['gpu_memory_bytes'])} GiB a GPU. What fits:",
            markup=False,
            soft_wrap=True,
        )
        for change in document["changes_that_fit"] or [{"change": "nothing that was tried"}]:
            size = change.get("memory_total_bytes")
            text = change["change"] + (f" -> {_gib(size)} GiB" if size else "")
            stderr.print(f"  {text}", markup=False, soft_wrap=True)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"
