"""The steps of `semihvision quickstart`, each a call of the function that its own command calls."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.reading import reader_of
from semihvision.cli.demo_data import write_marked_twin
from semihvision.cli.output import Bars, progress, stderr
from semihvision.core.card import card
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.parquet import read_records, write_records
from semihvision.core.policy import CONDITIONS, Permission

if TYPE_CHECKING:
    from semihvision.annotation.draft import Producer
    from semihvision.llm.client import LLMClient

CASES = {"deeplesion": 24, "eurorad": 12, "mimic_cxr": 16, "folder": 8, "vqa_rad": 2400, "jama": 8}
"""Cases drawn of each twin; those of `vqa_rad` are phantoms with about four questions each."""

READER_OPTIONS = {"deeplesion": {"neighbours": 0}}
"""Key slices alone, as the paper's authors used them, and for short sequences."""

ANNOTATED = ("deeplesion", "eurorad", "mimic_cxr", "folder")
"""Twins that go through the annotation pipeline, one for each way a source can lie."""

STAGES = (1, 2, 3)
CONFIGS = Path(__file__).parents[3] / "configs" / "train" / "tiny"
CONFIGURED_OUT = re.compile("runs/(?:quickstart|tiny)/")
"""Folders that the stages' configurations read and write; `out` is put in the place of both."""


@dataclass
class Workspace:
    """Where a quickstart keeps its files, and what it has found so far.

    Attributes:
        out: Folder of all files.
        seed: Seed of data, weights and sample order.
        client: Language model of annotation and judge; None for the offline stand-ins.
        refused: Refused items by step.
    """

    out: Path
    seed: int
    client: "LLMClient | None" = None
    refused: dict[str, dict[str, int]] = field(default_factory=dict)

    def root(self, source: str) -> Path:
        """Folder of a source's files."""
        return self.out / "data" / source

    def records(self, name: str) -> Path:
        """Parquet file of records."""
        return self.out / "records" / f"{name}.parquet"

    def model(self, name: str) -> Path:
        """Folder of a model."""
        return self.out / name / "model"

    def roots(self) -> dict[str, Path]:
        """Folder of every source whose records are made."""
        return {source: self.root(source) for source in CASES}


def demo_permissions(endpoint: str) -> list[Permission]:
    """Permissions for what the quickstart itself has drawn and written, at the user's endpoint.

    The twins are this project's own work, so it can state that their owner agrees. The twin of
    MIMIC-CXR is left out on purpose: it is treated as the real reports would be, and so shows what
    the policy does.
    """
    return [
        Permission(
            source=source, endpoint=endpoint, states=tuple(CONDITIONS), note="synthetic demo data"
        )
        for source in CASES
        if source != "mimic_cxr"
    ]


def draw_data(work: Workspace) -> str:
    """Writes the synthetic twins in their owners' layouts."""
    for number, (source, cases) in enumerate(CASES.items()):
        write_marked_twin(work.root(source), source, cases=cases, seed=work.seed + number)
    return ", ".join(f"{cases} {card(source).title} cases" for source, cases in CASES.items())


def prepare(work: Workspace) -> str:
    """Reads every twin through its source's reader."""
    counts = {}
    for source in CASES:
        refused = RefusalLog()
        reader = reader_of(source, READER_OPTIONS.get(source))
        counts[source] = write_records(work.records(source), reader(work.root(source), refused))
        if refused.items:
            refused.write(work.records(source).with_suffix(".refused.jsonl"))
            work.refused[f"prepare {source}"] = refused.counts()
    return f"{sum(counts.values())} records from {len(counts)} sources"


def build_index(work: Workspace) -> str:
    """Indexes the annotated twins' cases and the demo guidelines, and audits the index."""
    from semihvision import retrieval

    cases = (r for source in ANNOTATED for r in read_records(work.records(source)))
    report = retrieval.build_index(
        work.out / "index",
        records=cases,
        roots=work.roots(),
        guidelines=[retrieval.demo_guidelines()],
    )
    if report.refused:
        work.refused["index"] = report.refused
    found = retrieval.audit(work.out / "index", k=5)
    recall = min(table.recall for table in found.recall)
    return (
        f"{report.items['case']} cases, {report.items['guideline']} guideline passages, "
        f"recall@5 against exact search {recall:.2f}"
    )


def annotate(work: Workspace) -> str:
    """Runs the semi-human pipeline over the twins and puts the result into one file."""
    from semihvision import tracking
    from semihvision.annotation.log import log_summary
    from semihvision.annotation.runner import annotate as run
    from semihvision.retrieval import Retriever

    write_records(
        work.records("to_annotate"),
        (r for source in ANNOTATED for r in read_records(work.records(source))),
    )
    with progress() as display:
        told = Bars(display)
        summary = run(
            work.records("to_annotate"),
            out=work.records("annotated"),
            producer=_producer(work),
            roots=work.roots(),
            retriever=Retriever.open(work.out / "index"),
            on_progress=lambda done, total: told("records", done, total),
        )
    config = {"llm": work.client.settings.model if work.client else "template", "seed": work.seed}
    with tracking.open_run(tracking.ANNOTATE, "quickstart", config=config) as tracked:
        log_summary(tracked, summary)
    if summary.refused:
        work.refused["annotate"] = dict(summary.refused)
    paths = ", ".join(f"{count} {path}" for path, count in summary.by_path.most_common())
    share = ", ".join(f"{part:.0f} % {name}" for name, part in summary.share().items())
    return f"{paths}; {summary.parts['qa']} questions written; words: {share}"


def _producer(work: Workspace) -> "Producer":
    from semihvision.annotation.settings import AnnotationSettings
    from semihvision.annotation.template import TemplateProducer

    if work.client is None:
        return TemplateProducer(AnnotationSettings())
    from semihvision.annotation.model import ModelProducer

    return ModelProducer(work.client, AnnotationSettings())


def train_stage(work: Workspace, stage: int) -> tuple[float, float]:
    """Trains one stage through the same command as `semihvision fit`.

    Returns:
        Mean training loss over the first and over the last quarter of the steps, as MLflow holds
        them: single batches differ by which samples they hold.
    """
    from semihvision.cli.train import train
    from semihvision.tracking import metric_history

    config = _stage_config(work, stage)
    argv = ["fit", "-c", str(config), "--seed_everything", str(work.seed)]
    try:
        done = train(argv)
    except SystemExit:
        # Lightning's end after Ctrl-C, and that of `ResumableCheckpoint` after a signal.
        stderr.print(
            f"stopped in stage {stage}. A new quickstart begins anew and keeps what is in "
            f"{work.out}; this stage alone goes on from its last checkpoint with\n"
            f"semihvision {shlex.join(argv)}",
            markup=False,
            soft_wrap=True,
        )
        raise
    history = metric_history(str(done.trainer.logger.run_id), "train/loss")  # type: ignore[union-attr]
    quarter = max(1, len(history) // 4)
    return _mean(history[:quarter]), _mean(history[-quarter:])


def _stage_config(work: Workspace, stage: int) -> Path:
    """The stage's configuration with this workspace's folder, kept where it can be run again."""
    template = CONFIGS / f"stage{stage}.yaml"
    if not template.is_file():
        raise InputError(
            f"{template}: no such file; quickstart runs from a clone of the repository, which "
            "holds the configurations"
        )
    file = work.out / "configs" / template.name
    file.parent.mkdir(parents=True, exist_ok=True)
    text = template.read_text("utf-8")
    text = CONFIGURED_OUT.sub(lambda _: f"{work.out}/", text)
    file.write_text(text, encoding="utf-8")
    return file


def save_untrained(work: Workspace) -> None:
    """Saves the tiny model as it is before any training, for comparison."""
    from lightning import seed_everything

    from models import InstructionTuning

    seed_everything(work.seed, verbose=False)
    stage = InstructionTuning(preset="tiny")
    stage.configure_model()
    stage.save_model_folder(work.model("untrained"))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


Steps = Mapping[str, Callable[[Workspace], str]]
DATA_STEPS: Steps = {
    "draw demo data": draw_data,
    "prepare records": prepare,
    "build retrieval index": build_index,
    "annotate": annotate,
}
"""What comes before training: title -> function that says in a line what it did."""
