import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import vqa_rad
from evaluation.answerers import OnAnswer
from evaluation.predictions import Prediction, read_predictions
from evaluation.questions import Question
from evaluation.runner import evaluate_task
from evaluation.tasks import Task, load_task, vqa_task
from semihvision.core.errors import InputError
from semihvision.core.images import probe_image
from semihvision.core.record import QA, Licence, Provenance, Record

NUM_IMAGES = 4


def records(root: Path, *, split: str = "test") -> list[Record]:
    """One record an image, with a closed question (no image says no) and an open one."""
    made = []
    for number in range(NUM_IMAGES):
        name = f"{number}.png"
        Image.new("RGB", (10 + number, 8), (40 * number, 0, 0)).save(root / name)
        parts = {"image_ids": ("i",), "provenance_id": "p", "split": split}
        made.append(
            Record(
                record_id=f"vqa_rad/{name}",
                source="vqa_rad",
                group_id=name,
                images=(probe_image(root, name, image_id="i"),),
                qa=(
                    QA(qa_id=f"{number}a", question="Red?", answer="yes", answer_type="CLOSED",
                       **parts),
                    QA(qa_id=f"{number}b", question="Which?", answer=f"number {number}",
                       answer_type="OPEN", **parts),
                ),
                provenance=(Provenance(provenance_id="p", producer="human"),),
                licence=Licence(name="CC0"),
            )
        )  # fmt: skip
    return made


@pytest.fixture
def task(tmp_path: Path) -> Task:
    root = tmp_path / "data"
    root.mkdir()
    return vqa_task("toy", records(root), root)


class Seer:
    """Answers from the image alone: its width tells which it is. Fails on request."""

    def __init__(self, *, version: int = 1, stop_after: int | None = None) -> None:
        self.version = version
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self._stop_after = stop_after

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        return {"version": self.version}

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        for question in questions:
            if len(self.asked) == self._stop_after:
                raise KeyboardInterrupt
            self.asked.append(question.id)
            if question.id in self.failing:
                on_answer(Prediction(id=question.id, answer=None, reason="failed on request"))
                continue
            number = question.pictures[0].read().width - 10
            text = "yes" if "Red?" in question.turns[-1].text else f"number {number}"
            on_answer(Prediction(id=question.id, answer=text, num_tokens=2))


def test_answers_are_scored_under_every_convention(task, tmp_path):
    result = evaluate_task(task, Seer(), tmp_path)
    assert result.metrics["toy/exact/closed_accuracy"] == 100
    assert result.metrics["toy/exact_vqa/overall_accuracy"] == 100
    assert result.metrics["toy/llava_med/open_recall"] == 100
    assert result.metrics["toy/n"] == 2 * NUM_IMAGES
    assert result.metrics["toy/missing"] == 0
    assert result.asked == 2 * NUM_IMAGES


def test_controls_take_the_image_away_and_keep_the_words(task, tmp_path):
    shuffled = evaluate_task(task, Seer(), tmp_path, control="shuffled")
    assert shuffled.metrics["toy_shuffled/exact/open_accuracy"] == 0
    assert shuffled.metrics["toy_shuffled/exact/closed_accuracy"] == 100
    blank = evaluate_task(task, Seer(), tmp_path, control="blank")
    assert blank.metrics["toy_blank/exact/open_accuracy"] == 100  # sizes stay as they are
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {
        "toy.shuffled.jsonl",
        "toy.blank.jsonl",
    }


def test_predictions_file_is_what_score_reads(task, tmp_path):
    result = evaluate_task(task, Seer(), tmp_path)
    assert read_predictions(result.file).answers == result.answers


def test_an_answered_question_is_not_asked_again(task, tmp_path):
    evaluate_task(task, Seer(), tmp_path)
    again = Seer()
    result = evaluate_task(task, again, tmp_path)
    assert again.asked == []
    assert result.asked == 0
    assert result.metrics["toy/exact/overall_accuracy"] == 100


def test_a_stopped_run_goes_on_and_keeps_every_answer(task, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate_task(task, Seer(stop_after=3), tmp_path)
    file = tmp_path / "toy.normal.jsonl"
    file.write_text(file.read_text() + '{"id": "cut o')  # killed in the middle of a line
    rest = Seer()
    evaluate_task(task, rest, tmp_path)
    assert len(rest.asked) == 2 * NUM_IMAGES - 3
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == 2 * NUM_IMAGES


def test_a_question_without_answer_is_missing_with_its_reason_and_asked_again(task, tmp_path):
    first = Seer()
    first.failing = {"1b"}
    result = evaluate_task(task, first, tmp_path)
    assert result.reasons == {"1b": "failed on request"}
    assert result.metrics["toy/missing"] == 1
    assert result.metrics["toy/exact/open_accuracy"] == 75
    again = Seer()
    assert evaluate_task(task, again, tmp_path).reasons == {}
    assert again.asked == ["1b"]


@pytest.mark.parametrize("change", ["model", "words", "images"])
def test_what_an_answer_depends_on_has_changed_so_all_is_asked_and_the_old_is_kept(
    task, tmp_path, change
):
    evaluate_task(task, Seer(), tmp_path)
    old = (tmp_path / "toy.normal.jsonl").read_text()
    other = Seer(version=2 if change == "model" else 1)
    root = tmp_path / "data"
    changed = records(root)
    if change == "words":
        changed[0] = changed[0].edited(
            qa=(changed[0].qa[0].model_copy(update={"question": "Red at all?"}), changed[0].qa[1])
        )
    if change == "images":
        Image.new("RGB", (10, 8), "blue").save(root / "0.png")
        changed[0] = changed[0].edited(images=(probe_image(root, "0.png", image_id="i"),))
    evaluate_task(vqa_task("toy", changed, root), other, tmp_path)
    assert len(other.asked) == 2 * NUM_IMAGES
    kept = [path for path in tmp_path.glob("toy.normal.*.jsonl")]
    assert [path.read_text() for path in kept] == [old]


def test_no_earlier_file_is_replaced_however_often_models_take_turns(task, tmp_path):
    written = []
    for version in (1, 2, 1, 2, 1):
        answerer = Seer(version=version)
        answerer.failing = {f"{len(written)}a"}  # so that every file differs from all others
        evaluate_task(task, answerer, tmp_path)
        written.append((tmp_path / "toy.normal.jsonl").read_text())
    found = [path.read_text() for path in tmp_path.glob("toy.normal*.jsonl")]
    assert sorted(found) == sorted(written)
    assert len(set(found)) == len(found)


def test_a_foreign_file_in_the_way_is_left_alone(task, tmp_path):
    file = tmp_path / "toy.normal.jsonl"
    file.write_text('{"qid": 1, "answer": "yes"}\n{"qid": 2, "answer": "no"}\n')
    with pytest.raises(InputError, match="line 1: not written by `evaluate`"):
        evaluate_task(task, Seer(), tmp_path)
    assert len(file.read_text().splitlines()) == 2


def test_progress_counts_up_to_all_questions(task, tmp_path):
    seen: list[tuple[str, int, int]] = []
    evaluate_task(task, Seer(), tmp_path, on_progress=lambda *state: seen.append(state))
    assert [done for _, done, _ in seen] == list(range(1, 2 * NUM_IMAGES + 1))
    assert seen[-1] == ("toy, normal images", 2 * NUM_IMAGES, 2 * NUM_IMAGES)


def test_unknown_control_and_benchmark_name_the_known_ones(task, tmp_path):
    with pytest.raises(InputError, match="normal, blank, shuffled"):
        evaluate_task(task, Seer(), tmp_path, control="upside-down")
    with pytest.raises(InputError, match="vqa_rad"):
        load_task("no_such", tmp_path)


def test_summary_is_json_and_holds_no_text_of_questions_or_answers(task, tmp_path):
    text = json.dumps(evaluate_task(task, Seer(), tmp_path).summary)
    assert "Which?" not in text
    assert "number 1" not in text


def test_a_split_without_questions_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no question"):
        vqa_task("toy", records(tmp_path, split="train"), tmp_path)


def test_a_broken_training_row_is_no_matter_to_vqa_rad_and_a_broken_test_row_is(tmp_path):
    vqa_rad.write_twin(tmp_path, cases=4, seed=0)
    training = tmp_path / "trainset.json"
    rows = json.loads(training.read_text())
    (tmp_path / "images" / rows[0]["image_name"]).unlink()
    rows[1].pop("answer_type")
    training.write_text(json.dumps(rows))
    task = load_task("vqa_rad", tmp_path)
    assert task.refused.items == []
    assert len(task.questions) == 5
    image = json.loads((tmp_path / "testset.json").read_text())[0]["image_name"]
    (tmp_path / "images" / image).write_bytes(b"no image")
    with pytest.raises(InputError, match="no question"):  # the only test image
        load_task("vqa_rad", tmp_path)


def test_vqa_rad_asks_all_test_questions_under_their_ids(vqa_rad_root):
    task: Any = load_task("vqa_rad", vqa_rad_root)
    assert len(task.questions) == 451
    assert {question.id for question in task.questions} == set(task.gold)
    assert len({picture.key for one in task.questions for picture in one.pictures}) == 203
    assert task.questions[0].turns[0].text.startswith("<image>")
    assert task.refused.items == []
    assert task.score(task.gold).metrics["exact_vqa/overall_accuracy"] == 100
