"""`semihvision fit|validate|test|predict -c FILE`: LightningCLI over a stage and a data module."""

import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from transformers.utils.logging import disable_progress_bar

import data_modules  # noqa: F401 -- its classes are known by name once it is imported
from models.stages import Stage
from semihvision.cli.output import counts_in_text, stderr
from semihvision.cli.parsing import PlainErrors
from semihvision.cli.train_progress import say_summary, with_progress
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError, RefusalLog
from semihvision.tracking import TRAIN, lightning_logger
from semihvision.training.callbacks import RunProvenance
from semihvision.training.checkpointing import ResumableCheckpoint
from semihvision.training.strategy import launched_by, trainer_arguments


class _TrainingParser(PlainErrors, LightningArgumentParser):
    """Lightning's parser with our errors."""


class SemiHVisionCLI(LightningCLI):
    """LightningCLI with our links and defaults."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data module gets the stage's processor; runs have names."""
        parser.add_argument("--run_name", type=str, default="", help="name of the MLflow run")
        parser.link_arguments(
            "model", "data.init_args.processor", compute_fn=_processor, apply_on="instantiate"
        )

    def instantiate_trainer(self, **kwargs: object) -> L.Trainer:
        """Logs to MLflow unless the configuration names a logger or turns logging off.

        Devices and strategy follow from the launcher and the machine (`training.strategy`).
        """
        settings = self.config[str(self.subcommand)] if self.subcommand else self.config
        trainer = settings["trainer"]
        num_visible = torch.cuda.device_count() if trainer["accelerator"] != "cpu" else 1
        kwargs |= trainer_arguments(trainer, launch=launched_by(), num_visible=num_visible)
        if settings["trainer"]["logger"] is None:
            name = settings["run_name"] or _class_name(settings)
            kwargs["logger"] = _default_logger(name, self._resumed_run_id())
        given = self._get(self.config_init, "trainer")
        kwargs["callbacks"] = with_progress(
            given["callbacks"], wanted=given["enable_progress_bar"] is not False
        )
        made = super().instantiate_trainer(**kwargs)
        for callback in cast(list[Callback], made.callbacks):  # type: ignore[attr-defined]
            if self.subcommand == "fit" and isinstance(callback, ResumableCheckpoint):
                # Reading data and building the model may take minutes.
                callback.listen(made)
        return made

    def _resumed_run_id(self) -> str | None:
        """MLflow's id of the run that this one goes on with."""
        callbacks = self._get(self.config_init, "trainer")["callbacks"] or []
        if self.subcommand != "fit":
            return None
        return next((c.run_id() for c in callbacks if isinstance(c, ResumableCheckpoint)), None)


def _processor(model: Stage) -> object:
    return model.processor


def _class_name(settings: object) -> str:
    return str(settings["model"]["class_path"]).rpartition(".")[2]  # type: ignore[index]


def _default_logger(run_name: str, run_id: str | None) -> Logger:
    return lightning_logger(TRAIN, run_name, run_id=run_id)


def run(argv: list[str]) -> int:
    """Runs the LightningCLI with the whole command line, e.g. ``["fit", "-c", FILE]``.

    Samples that the data module refused are listed in ``<command>.refused.jsonl`` below the
    trainer's `default_root_dir`.
    """
    if "--estimate" in argv:
        from semihvision.cli import estimate

        return estimate.run(argv)
    started = time.monotonic()
    done = train(argv)
    if not done.trainer.is_global_zero:
        # Its refusals are those of the first process, which is killed when another one fails.
        return EXIT_DONE
    say_summary(argv[0], done.trainer, time.monotonic() - started)
    refused: RefusalLog = getattr(done.datamodule, "refused", RefusalLog())
    listed = Path(done.trainer.default_root_dir) / f"{argv[0]}.refused.jsonl"
    refused.write(listed)
    if not refused.items:
        return EXIT_DONE
    stderr.print(
        f"refused: {counts_in_text(refused.counts())}; see {listed}", markup=False, soft_wrap=True
    )
    return EXIT_REFUSED_ITEMS


def train(argv: list[str]) -> SemiHVisionCLI:
    """Like `run`, and returns the CLI with its trainer, stage and data module.

    Raises:
        InputError: An interpolation in the YAML names a key that is not there, or the stage or data
            module refuses its settings.
    """
    return _cli(SemiHVisionCLI, argv)


class _SettingsOnly(SemiHVisionCLI):
    """Parses a configuration and makes nothing of it."""

    def instantiate_classes(self) -> None:
        """Leaves the classes alone."""


def parse_only(argv: list[str]) -> Any:
    """The settings of `fit` as it would use them, without stage, data or trainer.

    Args:
        argv: Arguments after ``fit``.

    Raises:
        InputError: As in `train`.
    """
    return _cli(_SettingsOnly, argv, run=False).config


def _cli(kind: type[SemiHVisionCLI], argv: list[str], *, run: bool = True) -> SemiHVisionCLI:
    _quiet()
    try:
        return kind(
            Stage,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_kwargs={"parser_mode": "omegaconf+", "prog": "semihvision"},
            save_config_callback=RunProvenance,
            save_config_kwargs={"save_to_log_dir": False},
            parser_class=_TrainingParser,
            trainer_defaults={
                "enable_model_summary": False,
                # Data modules divide their samples among processes themselves.
                "use_distributed_sampler": False,
            },
            seed_everything_default=0,
            args=argv,
            run=run,
        )
    except ValueError as error:
        # What a stage or data module refuses comes out of jsonargparse as an error about types.
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise


_KNOWN_WARNINGS = (
    # Lightning's advice and notes that do not apply here.
    ".*does not have many workers.*",
    "LightningCLI's args parameter is intended to run from within Python.*",
    # Frozen towers stay in evaluation mode on purpose.
    ".*module.s. in eval mode at the start of training.*",
    # The samplers' hook returns a view of the hidden states, into which nothing writes.
    "FSDP2-wrapped module .* returned a view tensor.*",
    # No validation data, which the configuration has asked for.
    "Total length of `list` across ranks is zero.*",
    # lightning 2.6 asks torch 2.15 for a class that torch has renamed.
    ".*LeafSpec.* is deprecated.*",
)


def _quiet() -> None:
    """Leaves warnings that a user can act on, and the progress bar; hides the rest."""
    if not sys.warnoptions:
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    disable_progress_bar()  # type: ignore[no-untyped-call]
