"""SLAKE and PathVQA: questions of the real files, their conventions, and what is asked."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from data_modules import path_vqa, slake
from evaluation.benchmarks import conventions_of, load_references
from evaluation.conventions.llava_med import contains_gold_or_is_dropped
from evaluation.conventions.medevalkit import closed_as_in_slake, open_as_in_slake
from evaluation.scoring import score_answers
from evaluation.tasks import load_task
from semihvision.cli.main import main
from semihvision.core.errors import InputError, RefusalLog


def test_the_real_test_set_of_slake(slake_root: Path) -> None:
    refused = RefusalLog()
    references = load_references("slake", slake_root, refused)
    assert refused.items == []
    assert len(references) == len({one.id for one in references}) == 2094
    english = [one for one in references if one.subsets == ("en",)]
    assert Counter(one.answer_type for one in english) == {"OPEN": 645, "CLOSED": 416}
    closed = [one for one in english if one.answer_type == "CLOSED"]
    assert sum(one.answer.lower() not in ("yes", "no") for one in closed) == 61
    assert (len({one.group for one in english}), len({one.group for one in references})) == (
        96,
        180,
    )


@pytest.mark.parametrize(("name", "kind"), [("test_open", "OPEN"), ("test_close", "CLOSED")])
def test_the_owners_two_tables_are_the_english_test(slake_root: Path, name: str, kind: str) -> None:
    """Files of others, made from the same questions."""
    with (slake_root / f"{name}.csv").open(encoding="utf-8") as stream:
        rows = [(row["img_name"], row["question"], row["answer"]) for row in csv.DictReader(stream)]
    references = [one for one in load_references("slake", slake_root) if one.subsets == ("en",)]
    ours = [(one.image, one.question, one.answer) for one in references if one.answer_type == kind]
    assert Counter(ours) == Counter(rows)


def test_a_question_without_gold_answer_cannot_be_scored(slake_root: Path) -> None:
    refused = RefusalLog()
    references = load_references("slake", slake_root / "train.json", refused)
    assert len(references) == 9834
    assert [one.kind for one in refused.items] == ["no_gold"]


def test_the_gold_answers_score_full_marks_in_both_languages(slake_root: Path) -> None:
    references = load_references("slake", slake_root)
    golds = {one.id: one.answer for one in references}
    document = score_answers(references, golds, conventions=conventions_of("slake"))
    for name in ("exact", "exact_vqa", "medevalkit_slake"):
        assert document["conventions"][name]["overall_accuracy"] == 100
        for language, number in (("en", 1061), ("zh", 1033)):
            scores = document["subsets"][language]["conventions"][name]
            assert (document["subsets"][language]["n"], scores["overall_accuracy"]) == (number, 100)
    # A yes/no gate loses the closed answers that are neither.
    gated = document["subsets"]["en"]["conventions"]["llava_med_gated"]
    assert gated["closed_accuracy"] == pytest.approx(100 * (416 - 61) / 416)


def test_the_real_test_set_of_path_vqa(path_vqa_root: Path) -> None:
    refused = RefusalLog()
    references = load_references("path_vqa", path_vqa_root, refused)
    assert refused.items == []
    assert Counter(one.answer_type for one in references) == {"OPEN": 3370, "CLOSED": 3391}
    assert len({one.group for one in references}) == 858
    assert len({one.id for one in references}) == 6761


def test_medevalkits_rule_for_slake() -> None:
    """The gold is compared with "yes" as written, so "Yes" needs equality."""
    assert closed_as_in_slake("Yes, it is", "yes") == 1
    assert closed_as_in_slake("Yes, it is", "Yes") == 0
    assert closed_as_in_slake("YES.", "Yes") == 1
    assert closed_as_in_slake("<answer>No.</answer>", "No") == 1
    assert open_as_in_slake("Liver.", "Liver") == 0
    assert open_as_in_slake("The answer is liver", "Liver") == 0
    assert open_as_in_slake("LIVER", "Liver") == 1


def test_a_wrong_yes_leaves_llava_meds_mean_for_pathvqa() -> None:
    assert contains_gold_or_is_dropped("Yes, it is", "yes") == 1
    assert contains_gold_or_is_dropped("Yes, it is", "no") is None
    assert contains_gold_or_is_dropped("perhaps", "no") == 0


def test_score_command_on_the_twins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slake.write_twin(tmp_path, cases=10, seed=0)
    rows = json.loads((tmp_path / "test.json").read_text(encoding="utf-8"))
    answers = [{"qid": row["qid"], "answer": row["answer"]} for row in rows[1:]]
    (tmp_path / "p.json").write_text(json.dumps([*answers, {"qid": 10**6, "answer": "x"}]))
    argv = ["score", "--benchmark", "slake", "--predictions", str(tmp_path / "p.json")]
    assert main([*argv, "--references", str(tmp_path), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["n"], document["missing"]) == (12, 1)
    assert [one["kind"] for one in document["refused"]] == ["unknown_id"]
    assert set(document["subsets"]) == {"en", "zh"}
    assert main([*argv, "--references", str(tmp_path)]) == 3
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["zh", "overall_accuracy", "exact", "100.00", "6"] in rows


@pytest.mark.parametrize(("name", "module"), [("slake", slake), ("path_vqa", path_vqa)])
def test_tasks_ask_the_test_questions_about_their_images(tmp_path: Path, name, module) -> None:
    module.write_twin(tmp_path, cases=10, seed=0)
    task = load_task(name, tmp_path)
    assert task.refused.items == []
    assert {question.id for question in task.questions} == set(task.gold)
    assert all(len(question.pictures) == 1 for question in task.questions)
    assert task.questions[0].pictures[0].read().size == (128, 128)
    scored = task.score(task.gold)
    assert scored.metrics["exact_vqa/overall_accuracy"] == 100
    assert scored.metrics["missing"] == 0


def test_without_images_nothing_is_asked(slake_root: Path, path_vqa_root: Path) -> None:
    for name, root in (("slake", slake_root), ("path_vqa", path_vqa_root)):
        with pytest.raises(InputError, match="no folder im"):
            load_task(name, root)
