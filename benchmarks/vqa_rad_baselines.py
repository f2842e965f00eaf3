"""What answers that never look at an image score on VQA-RAD.

Needs the real VQA-RAD (no images): the folder that SEMIHVISION_REAL_DATA names, default ../shared.

    .venv/bin/python benchmarks/vqa_rad_baselines.py

Takes about half a minute on two cores. Prints one table and one JSON line. The last row asks the
question-only baseline about training images that it has not seen: what it scores above that on the
test set comes from test images and their rephrased questions standing in the training set.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sklearn.model_selection import GroupKFold

from evaluation.baselines import majority_answers, majority_answers_by_type, question_only_answers
from evaluation.benchmarks import load_references
from evaluation.references import Reference
from evaluation.scoring import score_answers
from semihvision.cli.output import print_table

CONVENTION = "exact_vqa"
METRICS = ("closed_accuracy", "open_accuracy", "overall_accuracy")
NUM_FOLDS = 5


def answers_on_unseen_images(references: Sequence[Reference]) -> dict[str, str]:
    """Question-only answers to every question, by a baseline fitted on the other images."""
    answers: dict[str, str] = {}
    folds = GroupKFold(NUM_FOLDS).split(references, groups=[one.group for one in references])
    for fitted, held_out in folds:
        answers |= question_only_answers(
            [references[index] for index in fitted], [references[index] for index in held_out]
        )
    return answers


def main() -> int:
    data = Path(os.environ.get("SEMIHVISION_REAL_DATA", "../shared")) / "data" / "vqa_rad"
    if not data.is_dir():
        sys.stderr.write("skipped: no VQA-RAD; set SEMIHVISION_REAL_DATA to the shared folder\n")
        return 0
    training = load_references("vqa_rad", data / "trainset.json")
    test = load_references("vqa_rad", data / "testset.json")
    runs = {
        "majority answer": (test, majority_answers(training, test)),
        "majority answer by answer type": (test, majority_answers_by_type(training, test)),
        "question only": (test, question_only_answers(training, test)),
        "question only, unseen training images": (training, answers_on_unseen_images(training)),
    }
    results = {
        name: score_answers(asked, answers)["conventions"][CONVENTION]
        for name, (asked, answers) in runs.items()
    }
    rows = [
        (name, *(f"{scores[metric]:.2f}" for metric in METRICS)) for name, scores in results.items()
    ]
    print_table(f"VQA-RAD without images, {CONVENTION}, percent", ("baseline", *METRICS), rows)
    print(json.dumps({"benchmark": "vqa_rad_baselines", CONVENTION: results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
