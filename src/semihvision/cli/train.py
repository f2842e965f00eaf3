"""`semihvision fit|validate|test|predict -c FILE`: LightningCLI over a stage and a data module."""

import sys
import warnings

import lightning as L
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from omegaconf.errors import OmegaConfBaseException

import data_modules  # noqa: F401 -- its classes are known by name once it is imported
from models.stages import Stage
from semihvision.core.errors import InputError
from semihvision.tracking import TRAIN, lightning_logger
from semihvision.training.callbacks import RunProvenance


class SemiHVisionCLI(LightningCLI):
    """LightningCLI with our links and defaults."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data module gets the stage's processor; runs have names."""
        parser.add_argument("--run_name", type=str, default="", help="name of the MLflow run")
        parser.link_arguments(
            "model", "data.init_args.processor", compute_fn=_processor, apply_on="instantiate"
        )

    def instantiate_trainer(self, **kwargs: object) -> L.Trainer:
        """Logs to MLflow unless the configuration names a logger or turns logging off."""
        settings = self.config[str(self.subcommand)] if self.subcommand else self.config
        if settings["trainer"]["logger"] is None:
            kwargs["logger"] = _default_logger(settings["run_name"] or _class_name(settings))
        return super().instantiate_trainer(**kwargs)


def _processor(model: Stage) -> object:
    return model.processor


def _class_name(settings: object) -> str:
    return str(settings["model"]["class_path"]).rpartition(".")[2]  # type: ignore[index]


def _default_logger(run_name: str) -> Logger:
    return lightning_logger(TRAIN, run_name)


def run(argv: list[str]) -> int:
    """Runs the LightningCLI with the whole command line.

    Raises:
        InputError: An interpolation in the YAML names a key that is not there.
    """
    _quiet_known_warnings()
    try:
        SemiHVisionCLI(
            Stage,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_kwargs={"parser_mode": "omegaconf+", "prog": "semihvision"},
            save_config_callback=RunProvenance,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=0,
            args=argv,
        )
    except OmegaConfBaseException as error:
        raise InputError(f"the configuration cannot be resolved: {error}") from error
    return 0


def _quiet_known_warnings() -> None:
    """Hides advice that does not apply to small data in the main process."""
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
