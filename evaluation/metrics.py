"""VQA scores as a torchmetrics metric, for `fit`, `validate` and `evaluate`.

The only file of the scorers that imports torch: `semihvision score` does without.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from evaluation.conventions import CONVENTIONS, find_convention
from evaluation.references import Reference
from semihvision.core.errors import InputError


class VQAScores(Metric):
    """Accumulates answers and gives every metric of several conventions, in percent.

    States are sums, so parts, batches and processes add up to the same result as one pass. They
    cannot see a question twice: a sampler that pads the last batch with repeated questions changes
    the scores. Compare the returned ``n`` with the number of questions.

    Args:
        conventions: Names of conventions; all known ones by default.

    Raises:
        InputError: An unknown convention.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    num_questions: Tensor
    num_missing: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, conventions: Sequence[str] = tuple(CONVENTIONS)) -> None:
        super().__init__()
        self._conventions = {name: find_convention(name) for name in conventions}
        names = [f"{name}/{m}" for name, one in self._conventions.items() for m in one.metrics]
        self._places = {name: place for place, name in enumerate(names)}
        # float32, because MPS devices have no float64: at 10,000 questions the error of a sum is
        # far below 0.01 points.
        self.add_state("sums", torch.zeros(len(names)), dist_reduce_fx="sum")
        for state, shape in (("counts", (len(names),)), ("num_questions", ()), ("num_missing", ())):
            self.add_state(state, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[str | None], references: Sequence[Reference]) -> None:
        """Adds answers to some questions.

        Args:
            predictions: One answer per reference; None where it is missing, which counts as wrong.
            references: The questions, in the same order.

        Raises:
            InputError: The two differ in length.
        """
        if len(predictions) != len(references):
            raise InputError(
                f"expected one prediction per reference, got {len(predictions)} predictions for "
                f"{len(references)} references"
            )
        sums, counts = [0.0] * len(self._places), [0] * len(self._places)
        for answer, reference in zip(predictions, references, strict=True):
            for name, one in self._conventions.items():
                for metric, value in one.score(reference, answer).items():
                    place = self._places[f"{name}/{metric}"]
                    sums[place] += value
                    counts[place] += 1
        self.sums += torch.tensor(sums, device=self.device)
        self.counts += torch.tensor(counts, device=self.device)
        self.num_questions += len(references)
        self.num_missing += sum(answer is None for answer in predictions)

    def compute(self) -> dict[str, Tensor]:
        """All scores so far.

        Returns:
            ``<convention>/<metric>`` -> percent as a float32 scalar, for every metric that at least
            one question counted for; ``n`` and ``missing`` as int64 scalars.
        """
        scores = {
            name: 100 * self.sums[place] / self.counts[place]
            for name, place in self._places.items()
            if self.counts[place] > 0
        }
        return {**scores, "n": self.num_questions, "missing": self.num_missing}
