"""What an evaluation leaves in the MLflow store."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation.answerers import OnAnswer
from evaluation.predictions import Prediction
from evaluation.questions import Question
from evaluation.reporting import log_evaluations, may_show, sample_table
from evaluation.runner import Evaluation, evaluate_task
from evaluation.tasks import vqa_task
from semihvision import tracking
from semihvision.core.images import probe_image
from semihvision.core.record import QA, Licence, Provenance, Record


class SaysYes:
    @property
    def identity(self) -> Mapping[str, str | int | float]:
        return {"model": "yes"}

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        for question in questions:
            on_answer(Prediction(id=question.id, answer="yes"))


def evaluations(root: Path, source: str, *, number: int = 3) -> list[Evaluation]:
    records = []
    for index in range(number):
        name = f"{index}.png"
        Image.new("RGB", (400, 300), (index, 0, 0)).save(root / name)
        asked: Any = {"answer_type": "CLOSED", "image_ids": ("i",), "split": "test"}
        records.append(
            Record(
                record_id=f"{source}/{name}",
                source=source,
                group_id=name,
                images=(probe_image(root, name, image_id="i"),),
                qa=(QA(qa_id=name, question="Is it?", answer="yes", provenance_id="p", **asked),),
                provenance=(Provenance(provenance_id="p", producer="human"),),
                licence=Licence(name="any"),
            )
        )
    task = vqa_task("toy", records, root)
    return [
        evaluate_task(task, SaysYes(), root / "out", control=control)
        for control in ("normal", "blank")
    ]


def test_a_run_holds_scores_of_every_control_hashes_intervals_and_pictures(tmp_path, mlflow_store):
    done = evaluations(tmp_path, "vqa_rad")
    with tracking.open_run(tracking.EVALUATE, "toy", config={}) as run:
        log_evaluations(run, done)
    stored = mlflow_store.run(run.run_id)
    assert stored.data.metrics["toy/exact_vqa/closed_accuracy"] == 100
    assert stored.data.metrics["toy_blank/exact_vqa/closed_accuracy"] == 100
    assert stored.data.metrics["toy/n"] == 3
    assert stored.data.metrics["toy/missing"] == 0
    assert stored.data.tags["data_hash.toy"] == done[0].task.data_hash
    assert len(stored.data.tags["data_hash"]) == 64
    artifacts = mlflow_store.artifacts(run.run_id)
    scores = json.loads((artifacts / "scores.json").read_text())
    interval = scores["toy"]["scores"]["conventions"]["exact"]["ci95"]["closed_accuracy"]
    assert interval == [100, 100]
    table = json.loads((artifacts / "samples_toy.json").read_text())
    assert table["columns"] == [
        "id", "image", "question", "gold", "answer, normal images", "answer, blank images",
    ]  # fmt: skip
    row = table["data"][0]
    assert row[2:] == ["Is it?", "yes", "yes", "yes"]
    with Image.open(artifacts / row[1]["filepath"]) as thumbnail:
        assert thumbnail.size == (128, 96)


def test_no_samples_of_a_source_whose_card_forbids_passing_it_on(tmp_path, mlflow_store):
    with tracking.open_run(tracking.EVALUATE, "toy", config={}) as run:
        log_evaluations(run, evaluations(tmp_path, "mimic_cxr"))
    assert [path.name for path in mlflow_store.artifacts(run.run_id).glob("samples*")] == []


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("sqlite:///a.db", True),
        ("http://127.0.0.1:5000", True),
        ("http://localhost:5000", True),
        ("https://mlflow.example.org", False),
        ("databricks", False),
    ],
)
def test_no_samples_in_a_store_elsewhere(uri, local, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking.is_local() == local
    assert may_show("vqa_rad") == local


def test_samples_are_spread_and_an_unreadable_image_is_no_obstacle(tmp_path):
    done = evaluations(tmp_path, "vqa_rad", number=60)
    (tmp_path / "0.png").unlink()
    table = sample_table(done)
    assert len(table["id"]) == 24
    assert len(set(table["id"])) == 24
    assert table["id"][-1] not in {f"{number}.png" for number in range(24)}
    assert table["image"][0].size == (1, 1)
