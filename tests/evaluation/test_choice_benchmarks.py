"""Multiple-choice benchmarks in their owners' layouts: what is read, asked, scored and refused."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from benchmark_files import (
    confusion_row,
    mubench_row,
    omni_row,
    world_row,
    write_mediconfusion,
    write_mubench,
    write_omnimedvqa,
    write_path_vqa,
    write_pmc_vqa,
    write_slake,
    write_worldmedqa,
)

from evaluation.answerers import OnAnswer
from evaluation.benchmarks import load_references
from evaluation.predictions import Prediction
from evaluation.questions import Question
from evaluation.references import subset
from evaluation.runner import evaluate_task
from evaluation.tasks import load_task
from semihvision.cli.main import main
from semihvision.core.card import card
from semihvision.core.errors import InputError, RefusalLog

WRITERS = {
    "slake": write_slake,
    "path_vqa": write_path_vqa,
    "pmc_vqa": write_pmc_vqa,
    "omnimedvqa": write_omnimedvqa,
    "worldmedqa_v": write_worldmedqa,
    "mediconfusion": write_mediconfusion,
    "mubench": write_mubench,
}
CHOICE = [name for name in WRITERS if name not in ("slake", "path_vqa")]


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_asked_is_what_is_scored(name: str, tmp_path: Path) -> None:
    task = load_task(name, WRITERS[name](tmp_path))
    references = load_references(name, tmp_path)
    assert task.refused.items == []
    assert sorted(question.id for question in task.questions) == sorted(
        reference.id for reference in references
    )
    assert {question.source for question in task.questions} == {card(name).name}
    for question in task.questions[:4]:
        assert question.pictures[0].read().mode == "RGB"
        assert question.turns[0].text.count("<image>\n") == len(question.pictures) == 1


@pytest.mark.parametrize("name", CHOICE)
def test_letters_and_texts_of_the_golds_score_full_marks(name: str, tmp_path: Path) -> None:
    task = load_task(name, WRITERS[name](tmp_path))
    references = load_references(name, tmp_path)
    letters = {one.id: one.letter for one in references}
    for answers in (letters, {one.id: f"{one.letter}. {one.answer}" for one in references}):
        assert task.score(answers).metrics["choice/accuracy"] == 100
    texts = {one.id: one.answer for one in references}
    assert task.score(texts).metrics["choice/accuracy"] == 100
    lettered = task.questions[0].turns[0].text.split("\n")
    assert f"{references[0].letter}. {references[0].answer}" in lettered


@pytest.mark.parametrize("name", CHOICE)
def test_an_answer_that_names_no_option_is_wrong_and_listed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = WRITERS[name](tmp_path / "root")
    references = load_references(name, root)
    first, *others = references
    rows = [{"id": first.id, "answer": "I cannot tell"}]
    rows += [{"id": one.id, "answer": one.letter} for one in others]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    argv = ["score", "--benchmark", name, "--predictions", str(tmp_path / "p.json"), "--json"]
    assert main([*argv, "--references", str(root)]) == 3
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    scores = document["conventions"]["choice"]
    assert (document["missing"], scores["unparsable"]) == (0, 1)
    assert scores["unparsable_ids"] == [first.id]
    assert scores["accuracy"] == pytest.approx(100 * len(others) / len(references))
    assert "1 answers that name no option" in " ".join(captured.err.split())


def texts_of(name: str, root: Path, refused: RefusalLog) -> list[str]:
    return [one.id for one in load_references(name, root, refused)]


def test_omnimedvqa_reads_what_is_open(tmp_path: Path) -> None:
    write_omnimedvqa(tmp_path)
    references = load_references("omnimedvqa", tmp_path)
    assert [(one.id, one.letter, len(one.options)) for one in references] == [
        ("ACRIMA_0001", "B", 3),
        ("ACRIMA_0002", "B", 4),
    ]
    assert references[0].subsets == ("type Disease Diagnosis", "modality Fundus Photography")
    restricted = tmp_path / "QA_information" / "Restricted-access" / "AIDA.json"
    assert len(load_references("omnimedvqa", restricted)) == 1


def test_omnimedvqa_reads_the_entry_with_another_key(tmp_path: Path) -> None:
    row = omni_row(1)
    del row["modality_type"]
    write_omnimedvqa(tmp_path, [row | {"modality": "CT(Computed Tomography)"}])
    (reference,) = load_references("omnimedvqa", tmp_path)
    assert reference.subsets[1] == "modality CT_Computed Tomography_"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"gt_answer": "SECRET"}, "answer"),
        ({"option_A": "glaucoma"}, "answer"),
        ({"option_A": 7}, "invalid_row"),
        ({"question": None}, "invalid_row"),
        ({}, "repeated_id"),
    ],
)
def test_omnimedvqa_refuses_row_by_row(tmp_path: Path, change: dict[str, Any], kind: str) -> None:
    refused = RefusalLog()
    write_omnimedvqa(tmp_path, [omni_row(1), omni_row(1, **change)])
    assert texts_of("omnimedvqa", tmp_path, refused) == ["ACRIMA_0001"]
    assert [(one.item, one.kind) for one in refused.items] == [("row 1", kind)]
    assert "SECRET" not in refused.items[0].reason


def test_omnimedvqa_refuses_paths_out_of_its_root(tmp_path: Path) -> None:
    rows = [omni_row(1), omni_row(2, image_path="../x.png"), omni_row(3)]
    task = load_task("omnimedvqa", write_omnimedvqa(tmp_path / "root", rows))
    assert task.refused.counts() == {"path_outside_root": 1, "missing_image": 1}
    # What cannot be asked still counts: its answer is missing.
    assert task.score({"ACRIMA_0001": "B"}).metrics["missing"] == 2


def test_pmc_vqa_marks_the_clean_part(tmp_path: Path) -> None:
    write_pmc_vqa(tmp_path)
    whole = load_references("pmc_vqa", tmp_path / "test.csv")
    clean = load_references("pmc_vqa", tmp_path / "test_clean.csv")
    both = load_references("pmc_vqa", tmp_path)
    assert [one.id for one in both] == [one.id for one in whole]
    assert {one.id.partition("/")[0] for one in both} == {"test"}
    assert [one.id.partition("/")[0] for one in clean] == ["test_clean"] * len(clean)
    marked = [(one.image, one.question) for one in both if one.subsets == ("test_clean",)]
    assert marked == [(one.image, one.question) for one in clean]


def test_pmc_vqa_takes_the_misspelt_column_and_refuses_rows(tmp_path: Path) -> None:
    row = {
        "Figure_path": "PMC1_F1.jpg", "Question": "Which?", "Anwser": "lung",
        "Choice A": " A:liver ", "Choice B": "B: lung", "Choice C": " C:brain",
        "Choice D": "D:knee", "Answer_label": "B",
    }  # fmt: skip
    with (tmp_path / "test.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(row))
        table.writeheader()
        table.writerows([row, row, row | {"Question": "Where?", "Answer_label": "E"}])
    refused = RefusalLog()
    (reference,) = load_references("pmc_vqa", tmp_path, refused)
    assert (reference.letter, reference.options) == ("B", ("liver", "lung", "brain", "knee"))
    assert [(one.item, one.kind) for one in refused.items] == [
        ("line 3", "repeated_id"),
        ("line 4", "answer"),
    ]


def test_worldmedqa_reads_both_languages(tmp_path: Path) -> None:
    task = load_task("worldmedqa_v", write_worldmedqa(tmp_path))
    assert [question.id for question in task.questions] == [
        "brazil_english/1", "brazil_english/2", "brazil_local/1", "brazil_local/2",
    ]  # fmt: skip
    assert task.questions[0].pictures[0].key == task.questions[2].pictures[0].key
    scores = task.score(dict.fromkeys(task.gold, "(B)"))
    assert scores.metrics["mmmu/accuracy/local"] == 100
    assert {one.group for one in load_references("worldmedqa_v", tmp_path)} == {
        "brazil/1",
        "brazil/2",
    }


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"correct_option": "E"}, "answer"),
        ({"correct_option": "nan"}, "invalid_row"),
        ({"C": ""}, "invalid_row"),
        ({"index": "1"}, "repeated_id"),
        ({"image": "SECRET?"}, "unreadable_image"),
        ({"image": "U0VDUkVU"}, "unreadable_image"),
    ],
)
def test_worldmedqa_refuses_row_by_row(tmp_path: Path, change: dict[str, str], kind: str) -> None:
    rows = [world_row(1), world_row(2, **change)]
    task = load_task("worldmedqa_v", write_worldmedqa(tmp_path, rows))
    assert len(task.questions) == 2
    assert [one.kind for one in task.refused.items] == [kind, kind]
    assert "SECRET" not in task.refused.items[0].reason


def test_worldmedqa_names_missing_columns(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    (tmp_path / "spain_local_processed.tsv").write_text("index,question\n1,x\n")
    with pytest.raises(InputError, match=r"no column index, image, .*; tab-separated\?"):
        load_references("worldmedqa_v", tmp_path)
    assert csv.field_size_limit() == limit
    (tmp_path / "spain_processed.tsv").write_text("index\n")
    with pytest.raises(InputError, match="expected <country>_<english or local>"):
        load_references("worldmedqa_v", tmp_path / "spain_processed.tsv")


def said(*pairs: tuple[str, str]) -> dict[str, str]:
    """Answers to the images of pairs 1, 2, ..."""
    return {
        f"{number}/im{image}": answer
        for number, pair in enumerate(pairs, start=1)
        for image, answer in enumerate(pair, start=1)
    }


def test_mediconfusion_scores_pairs_as_its_owners_do(tmp_path: Path) -> None:
    """Right answers are B and A. Counted by hand from the owners' rules."""
    root = write_mediconfusion(tmp_path, {str(n): confusion_row() for n in range(1, 6)})
    task = load_task("mediconfusion", root)
    answers = said(("B", "A"), ("B", "B"), ("A.", "B:"), ("B", "unclear"), ("A or B", "A"))
    details = task.score(answers).details
    scores = details["conventions"]["mediconfusion"]
    assert scores["n_scored"] == {"accuracy": 10, "set_accuracy": 5, "confusion": 3}
    assert scores["set_accuracy"] == pytest.approx(100 * 1 / 5)
    assert scores["accuracy"] == pytest.approx(100 * 5 / 10)
    assert scores["confusion"] == pytest.approx(100 * 1 / 3)
    assert (scores["unparsable"], scores["valid_pairs"]) == (2, 3)
    # Only the first images have the second category, so that it has no whole pair.
    neck = details["subsets"]["category Head and Neck"]["conventions"]["mediconfusion"]
    assert (neck["n_scored"]["accuracy"], neck["set_accuracy"]) == (5, None)


def test_mediconfusion_answers_are_read_as_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_mediconfusion(tmp_path / "root")
    published = {
        pair: {"answer": {f"im{n}": {"A": 0, "B": 0, "full_answer": "B"} for n in (1, 2)}}
        for pair in ("10001", "10002")
    }
    (tmp_path / "gpt_mc.json").write_text(json.dumps(published))
    argv = ["score", "--benchmark=mediconfusion", f"--references={root}", "--json"]
    assert main([*argv, f"--predictions={tmp_path / 'gpt_mc.json'}"]) == 0
    scores = json.loads(capsys.readouterr().out)["conventions"]["mediconfusion"]
    assert (scores["set_accuracy"], scores["accuracy"], scores["confusion"]) == (0, 50, 100)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"im_1_correct": "A"}, "answer"),
        ({"im_2_correct": "C"}, "answer"),
        ({"option_B": " "}, "invalid_row"),
        ({"im_2_local": "../x"}, "invalid_row"),
        ({"im_2_local": 3}, "missing_image"),
    ],
)
def test_mediconfusion_refuses_whole_pairs(
    tmp_path: Path, change: dict[str, Any], kind: str
) -> None:
    pairs = {"1": confusion_row(), "2": confusion_row(**change)}
    task = load_task("mediconfusion", write_mediconfusion(tmp_path, pairs))
    assert [question.id for question in task.questions] == ["1/im1", "1/im2"]
    assert [(one.item, one.kind) for one in task.refused.items] == [("2", kind)]


def test_mubench_tells_coarse_from_fine_and_what_was_published(tmp_path: Path) -> None:
    write_mubench(tmp_path)
    references = load_references("mubench", tmp_path)
    assert len(references) == 10
    of_first = [one for one in references if one.group == "image-1"]
    assert [one.question_type for one in of_first] == [
        "domain", "subdomain", "modality", "submodality", "classification",
    ]  # fmt: skip
    assert of_first[-1].subsets == (
        "published fine", "fine", "kind classification", "fine of kather_et_al_2016",
    )  # fmt: skip
    assert "published coarse" not in {
        name for one in references if one.group == "image-2" for name in one.subsets
    }


def test_mubench_images_are_those_of_their_rows(tmp_path: Path) -> None:
    questions: tuple[Question, ...] = load_task("mubench", write_mubench(tmp_path)).questions
    shades = {one.id: one.pictures[0].read().getpixel((0, 0)) for one in questions}
    assert shades["image-1/domain"] == (1, 1, 1)
    assert shades["image-2/classification"] == (2, 2, 2)


@pytest.mark.parametrize(
    ("answer", "hit"),
    [("B) electron", 1), ("B", 1), ("It is B) electron", 1), ("electron", 0), ("A) light", 0),
     ("b", 0), ("", 0)],
)  # fmt: skip
def test_mubenchs_own_rule(tmp_path: Path, answer: str, hit: int) -> None:
    task = load_task("mubench", write_mubench(tmp_path))
    scores = task.score(dict.fromkeys(task.gold, answer)).metrics
    assert scores["mubench/accuracy/kind classification"] == 100 * hit


def test_mubench_refuses_questions_one_by_one(tmp_path: Path) -> None:
    odd = mubench_row(2)
    odd["questions"]["domain"] = odd["questions"]["domain"] | {"answer": "SECRET"}
    odd["image"] = {"bytes": b"SECRET", "path": None}
    task = load_task("mubench", write_mubench(tmp_path, [mubench_row(1), odd]))
    assert len(task.questions) == 5
    assert task.refused.counts() == {"unreadable_image": 4, "answer": 1}
    assert task.refused.items[0].item == "part 0, row 0, domain"
    assert all("SECRET" not in one.reason for one in task.refused.items)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "slake"])
def test_empty_folders_are_errors(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_references(name, tmp_path)
    with pytest.raises(InputError, match=str(tmp_path)):
        load_task(name, tmp_path)


def test_names_of_subsets_are_plain() -> None:
    assert subset("modality", "X-Ray / CT (2)") == "modality X-Ray _ CT _2_"
    assert subset("modality", "") == "modality not stated"


class Always:
    """Answers everything alike."""

    identity: ClassVar[dict[str, str]] = {"model": "always B"}

    def answer(self, questions: Sequence[Question], on_answer: OnAnswer) -> None:
        for question in questions:
            question.pictures[0].read()
            on_answer(Prediction(id=question.id, answer="B"))


@pytest.mark.parametrize("name", WRITERS)
def test_predictions_of_evaluate_are_scored_the_same_by_score(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = WRITERS[name](tmp_path / "root")
    (tmp_path / "out").mkdir()
    done = evaluate_task(load_task(name, root), Always(), tmp_path / "out")
    argv = ["score", "--benchmark", name, "--predictions", str(done.file), "--json"]
    assert main([*argv, "--references", str(root)]) == 0
    assert json.loads(capsys.readouterr().out)["conventions"] == json.loads(
        json.dumps(done.scored.details["conventions"])
    )
