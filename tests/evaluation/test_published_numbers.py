"""MUMC on VQA-RAD: our conventions against numbers that others published or computed."""

import json

import pytest

from evaluation.benchmarks import load_references
from evaluation.conventions import CONVENTIONS
from evaluation.predictions import match_ids, read_predictions
from evaluation.scoring import score_answers


@pytest.fixture(scope="module")
def references(vqa_rad_root):
    return load_references("vqa_rad", vqa_rad_root / "testset.json")


@pytest.fixture(scope="module")
def answers_of(mumc_predictions, references):
    def read(epoch: int):
        file = read_predictions(mumc_predictions / f"med_pretrain_29_vqa_result_{epoch}.json")
        assert match_ids(file, references) == file
        assert not file.refused.items
        return file.answers

    return read


@pytest.mark.parametrize("epoch", range(20))
def test_exact_vqa_equals_the_published_accuracies(
    epoch, answers_of, references, mumc_predictions
) -> None:
    """File e belongs to Epoch e + 1."""
    published_file = mumc_predictions / "published_accuracy_epochs_1_to_20.json"
    (published,) = (
        row for row in json.loads(published_file.read_text()) if row["Epoch"] == epoch + 1
    )
    only = {"exact_vqa": CONVENTIONS["exact_vqa"]}
    result = score_answers(references, answers_of(epoch), conventions=only)
    scores = result["conventions"]["exact_vqa"]
    assert (result["n"], result["missing"]) == (451, 0)
    assert (scores["n_closed"], scores["n_open"]) == (272, 179)
    assert round(scores["closed_accuracy"], 2) == published["CLOSED"]
    assert round(scores["open_accuracy"], 2) == published["OPEN"]
    assert round(scores["overall_accuracy"], 2) == published["Overall"]


@pytest.mark.parametrize("epoch", range(20))
def test_exact_vqa_judges_every_answer_like_the_official_scorer(
    epoch, answers_of, references, mumc_predictions
) -> None:
    compared = mumc_predictions / f"med_pretrain_29_vqa_result_{epoch}_compare.json"
    official = {qid: gold == said for qid, (gold, said) in json.loads(compared.read_text()).items()}
    answers = answers_of(epoch)
    ours = {
        one.id: CONVENTIONS["exact_vqa"].score(one, answers[one.id])["overall_accuracy"] == 1
        for one in references
    }
    assert ours == official


# shared/reference/metrics.md, section 6: LLaVA-Med's own functions were run on these files, and
# MedEvalKit's rules implemented by somebody else. Hits by epoch.
PLAIN_OPEN_HITS = [6, 22, 31, 39, 54, 57, 70, 72, 79, 81, 83, 92, 89, 81, 88, 83, 90, 84, 89, 93]
LLAVA_MED = {
    0: {"open_recall": 9.3669, "open_f1": 9.9721, "open_token_exact": 12.1974},
    9: {"open_recall": 53.6220, "open_f1": 54.5744, "open_token_exact": 57.5419},
    19: {"open_recall": 59.2644, "open_f1": 60.0894, "open_token_exact": 62.3277},
}
SUBSTRING = {0: (3.9106, 50.3676), 9: (50.8380, 80.8824), 19: (56.9832, 80.8824)}
GATED = {0: 50.3676, 9: 77.9412, 19: 77.5735}
MEDEVALKIT = {0: (137, 6, 31.71), 9: (212, 88, 66.52), 19: (211, 102, 69.40)}


@pytest.mark.parametrize("epoch", range(20))
def test_plain_equality(epoch, answers_of, references) -> None:
    only = {name: CONVENTIONS[name] for name in ("exact", "exact_vqa")}
    scores = score_answers(references, answers_of(epoch), conventions=only)["conventions"]
    assert scores["exact"]["open_accuracy"] == pytest.approx(100 * PLAIN_OPEN_HITS[epoch] / 179)
    assert scores["exact"]["closed_accuracy"] == scores["exact_vqa"]["closed_accuracy"]


@pytest.mark.parametrize("epoch", [0, 9, 19])
def test_llava_med_and_medevalkit_tables(epoch, answers_of, references) -> None:
    scores = score_answers(references, answers_of(epoch))["conventions"]
    llava_med, gated, rad = (
        scores[name] for name in ("llava_med", "llava_med_gated", "medevalkit_rad")
    )
    for metric, expected in LLAVA_MED[epoch].items():
        assert round(llava_med[metric], 4) == expected
    assert llava_med["open_precision"] == pytest.approx(llava_med["open_token_exact"])
    open_substring, closed_substring = SUBSTRING[epoch]
    assert round(llava_med["open_accuracy"], 4) == open_substring
    assert round(llava_med["closed_accuracy"], 4) == closed_substring
    assert round(gated["closed_accuracy"], 4) == GATED[epoch]
    assert gated["open_recall"] == llava_med["open_recall"]
    closed_hits, open_hits, overall = MEDEVALKIT[epoch]
    assert (rad["n_closed"], rad["n_open"]) == (251, 200)
    assert rad["closed_accuracy"] == pytest.approx(100 * closed_hits / 251)
    assert rad["open_accuracy"] == pytest.approx(100 * open_hits / 200)
    assert round(rad["overall_accuracy"], 2) == overall
