"""The last steps of `semihvision quickstart`: both models' answers, scores and judgement."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evaluation.baselines import majority_answers, question_only_answers
from evaluation.benchmarks import load_references
from evaluation.jama import cases_of, read_case_records
from evaluation.judge import judge_answers
from evaluation.local_model import LocalAnswerer
from evaluation.reporting import log_evaluations, log_judgement
from evaluation.runner import Evaluation, evaluate_task
from evaluation.tasks import Task, load_task, vqa_task
from semihvision import tracking
from semihvision.cli.output import Bars, progress
from semihvision.cli.quickstart_steps import Workspace
from semihvision.core.errors import RefusalLog
from semihvision.core.hashing import hash_path
from semihvision.core.parquet import read_records

VQA_TASK = "demo_vqa"
"""Questions about unseen phantoms; named apart from the real VQA-RAD, whose layout they have."""

VQA_METRIC = "exact_vqa/overall_accuracy"
MAX_VQA_TOKENS = 12
MAX_JAMA_TOKENS = 96


class ModelScores(NamedTuple):
    """Scores of one model.

    Attributes:
        run_id: Its MLflow run.
        vqa: Image control -> accuracy in percent on the demo questions.
        jama: Scores on the demo cases; `judge_score` only where a language model judged.
    """

    run_id: str
    vqa: dict[str, float]
    jama: dict[str, float]


def demo_task(work: Workspace) -> Task:
    """The demo questions about unseen phantoms."""
    return vqa_task(VQA_TASK, read_records(work.records("vqa_rad")), work.root("vqa_rad"))


def evaluate_model(work: Workspace, name: str, controls: Sequence[str]) -> ModelScores:
    """Asks one model all demo questions, scores and judges its answers in one MLflow run.

    Args:
        work: The workspace; the model is `work.model(name)`.
        name: Name of the model and of the run: ``untrained``, or the last stage's.
        controls: Image controls for the demo questions.
    """
    folder = work.model(name)
    model_hash = hash_path(folder)
    out = work.out / "predictions" / name
    vqa, jama = demo_task(work), load_task("jama", work.root("jama"))
    config = {"model": str(folder), "images": list(controls), "seed": work.seed}
    with tracking.open_run(
        tracking.EVALUATE, f"quickstart {name}", config=config, tags={"checkpoint_hash": model_hash}
    ) as run:
        short = LocalAnswerer.load(folder, max_new_tokens=MAX_VQA_TOKENS)
        long = LocalAnswerer.load(folder, max_new_tokens=MAX_JAMA_TOKENS)
        with progress() as display:
            told = Bars(display)
            asked = [
                evaluate_task(vqa, short, out, control=c, seed=work.seed, on_progress=told)
                for c in controls
            ]
            cases = evaluate_task(jama, long, out, on_progress=told)
        log_evaluations(run, [*asked, cases])
        scores = dict(cases.scored.metrics)
        if work.client is not None:
            scores |= _judge(work, run, cases, out)
    return ModelScores(
        run_id=run.run_id,
        vqa={one.control: one.scored.metrics[VQA_METRIC] for one in asked},
        jama=scores,
    )


def _judge(
    work: Workspace, run: tracking.TrackedRun, cases: Evaluation, out: Path
) -> dict[str, float]:
    assert work.client is not None
    found = cases_of(read_case_records(work.root("jama"), RefusalLog()))
    judgement = judge_answers(found, cases.answers, work.client, out / "judge.jsonl")
    log_judgement(run, judgement)
    return judgement.metrics


def blind_baselines(work: Workspace) -> dict[str, float]:
    """Accuracy in percent of answers that never look at an image."""
    task = demo_task(work)
    root = work.root("vqa_rad")
    training = load_references("vqa_rad", root / "trainset.json")
    questions = load_references("vqa_rad", root / "testset.json")
    baselines = {
        "commonest training answer": majority_answers(training, questions),
        "question alone (TF-IDF + logistic regression)": question_only_answers(training, questions),
    }
    return {name: task.score(answers).metrics[VQA_METRIC] for name, answers in baselines.items()}
