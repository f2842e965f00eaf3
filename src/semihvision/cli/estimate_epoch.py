"""Where `fit --estimate` has its epoch from: the data, numbers given for them, or full rows."""

from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser

from data_modules.base import RecordDataModule
from models.configuration import PMCCambrianConfig
from models.processing import PMCCambrianProcessor
from models.processor_settings import taken_over
from models.tokenizer import load_tokenizer
from semihvision.core.errors import InputError
from semihvision.training import epoch_plan
from semihvision.training.estimate import EpochPlan, divide

_LENGTHS = ("max_length", "too_long", "image_layout")
_TAKEN_OVER = (
    "system_prompt",
    "system_prompt_file",
    "template",
    "preprocessing",
    "other_prompt",
)


class GivenSamples(NamedTuple):
    """Numbers in place of the data.

    Attributes:
        samples: Of an epoch; 0 to read the data.
        tokens: Of a sample, images expanded; goes with ``samples``.
        images: Of a sample; where the data cannot be read, of an unpacked one.
    """

    samples: int
    tokens: int
    images: int


def epoch_of(
    settings: Any, config: PMCCambrianConfig, *, gpus: int, given: GivenSamples
) -> tuple[EpochPlan, str]:
    """The epoch of a configuration.

    Where data cannot be read it is empty, and its largest batch is of the longest samples, or of
    packed rows that are full, with as many images as fit beside text.

    Args:
        settings: Of ``fit``.
        config: Sizes of its model.
        gpus: Processes.
        given: Numbers in place of the data.

    Returns:
        The epoch, and in words where it came from.

    Raises:
        InputError: A batch cannot be divided, an image alone fills a sample, or the numbers given
            cannot be.
    """
    model, data = settings["model"]["init_args"], settings["data"]["init_args"]
    items, batches = divide(
        data["global_batch_size"],
        data["batch_size"],
        settings["trainer"]["accumulate_grad_batches"],
        gpus,
    )
    cut = {"items_per_batch": items, "batches_per_step": batches}
    # Before the data are read: what is refused here hides nothing that is wrong with them.
    numbers = _from_numbers(model, data["packing"], config, given, cut)
    if given.samples:
        return numbers, "tokens from the options"
    try:
        found = _data_module(settings, processor(model))
        return epoch_plan.from_data(found, **cut), "tokens from the data"
    except (InputError, OSError, ValueError) as error:
        row = numbers.largest
        return numbers, (
            f"data not read ({error}): memory only, for {row.positions // items} tokens with "
            f"{row.images // items} images a {'row' if data['packing'] else 'sample'}; give "
            "--samples and --tokens-per-sample for steps and time"
        )


def _from_numbers(
    model: Any, packing: Any, config: PMCCambrianConfig, given: GivenSamples, cut: dict[str, int]
) -> EpochPlan:
    limits = {"model.init_args.max_length": model["max_length"]}
    if packing:
        limits["data.init_args.packing.tokens"] = packing["tokens"]
    square = epoch_plan.square_tokens(config)
    for name, limit in limits.items():
        if square >= limit:
            raise InputError(
                f"{name} is {limit}, but a square image alone takes {square} tokens; raise it "
                "above that"
            )
        if given.tokens > limit:
            raise InputError(
                f"--tokens-per-sample {given.tokens}: a sample may have {limit} ({name}); give "
                "fewer, or raise that"
            )
    longest = packing["tokens"] if packing else limits["model.init_args.max_length"]
    images = given.images
    if packing and not given.samples:
        images = epoch_plan.images_that_fit(config, longest, packing["images"])
    return epoch_plan.from_numbers(
        config,
        samples=given.samples,
        tokens=given.tokens or longest,
        images=images,
        longest=longest,
        packed_images=packing["images"] if packing else None,
        **cut,
    )


def processor(model: Any) -> PMCCambrianProcessor:
    """The processor that a stage would make.

    Args:
        model: ``init_args`` of the stage.

    Raises:
        InputError: The model folder to start from is not there or unusable. It is a folder always,
            never the name of a repository to be downloaded.
    """
    folder = model["init_from"] or None
    if folder and not Path(folder).is_dir():
        raise InputError(
            f"init_from: no model folder {folder}, whose tokenizer says how long samples are; "
            "sizes of the model are the preset's"
        )
    tokenizer = load_tokenizer(folder) if folder else None
    chosen = taken_over(folder, **{name: model[name] for name in _TAKEN_OVER})
    chosen |= {name: model[name] for name in _LENGTHS}
    return PMCCambrianProcessor.from_preset(model["preset"], tokenizer=tokenizer, **chosen)


def _data_module(settings: Any, made_by_stage: PMCCambrianProcessor) -> RecordDataModule:
    """The data module of the configuration, outside of any run."""
    parser = ArgumentParser()
    parser.add_subclass_arguments(RecordDataModule, "data")
    parsed = parser.parse_object({"data": settings["data"].as_dict()})
    made: RecordDataModule = parser.instantiate_classes(parsed)["data"]
    made.processor = made_by_stage
    return made
