"""The JAMA judge: a language model compares answers with the owner's discussion.

Step 1 takes the reference answer apart into key points, reasoning steps and evidence, once for
each case. Step 2 asks three times for one number from 0 to 5: how much of each list does the
student's answer hold? A reply that is no such number leaves the case *unscored*, with its reason.

Source: paper.md section 3 (authors' scripts @658d743, README); the wording is ours. Deviations and
choices: the rule that makes one number of the three is not known, ``judge_score`` is their plain
mean; where a discussion yields fewer than ten key points each is worth 5 / number; means are taken
over cases with all three scores, so that the four metrics speak of the same cases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.jama import JamaCase
from evaluation.judge_calls import JudgeCalls, PlannedCall
from evaluation.judge_log import JudgeCall, JudgeLog
from evaluation.judge_replies import MAX_SCORE, ReferenceLists
from evaluation.prompts import load_prompt
from semihvision.core.hashing import hash_value

if TYPE_CHECKING:
    from semihvision.llm.client import LLMClient

RUBRICS = {"key_points": "key_points", "inference": "reasoning_steps", "evidence": "evidence"}
"""Rubric -> the reference list it grades against."""

PROMPTS = ("judge_system", "judge_references", *(f"judge_{rubric}" for rubric in RUBRICS))
"""Names of all prompts of the judge."""


@dataclass(frozen=True, kw_only=True)
class JudgedCase:
    """Scores of one case.

    Attributes:
        id: Of the case.
        scores: Rubric -> score from 0 to 5; empty unless all three are there.
        reason: Why the case is unscored; empty if it is scored.
    """

    id: str
    scores: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the judge found.

    Attributes:
        cases: One entry a case.
        judge: Model snapshot of the judge.
        endpoint: Where it was asked.
        temperature: Its sampling temperature.
        prompt_hash: SHA-256 over all prompt templates.
        calls_made: Calls of this run; the others were in the file already.
        tokens_in: Prompt tokens of these calls.
        tokens_out: Completion tokens of these calls.
        cost_usd: Their cost; None where no price is known.
    """

    cases: tuple[JudgedCase, ...]
    judge: str
    endpoint: str
    temperature: float
    prompt_hash: str
    calls_made: int
    tokens_in: int
    tokens_out: int
    cost_usd: float | None

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the scored cases, and how many cases are scored and unscored."""
        scored = [case.scores for case in self.cases if not case.reason]
        means = {
            rubric: sum(scores[rubric] for scores in scored) / len(scored)
            for rubric in RUBRICS
            if scored
        }
        if means:
            means["judge_score"] = sum(means.values()) / len(means)
        counts = {"scored": len(scored), "unscored": len(self.cases) - len(scored)}
        return {**means, **counts}

    @property
    def tags(self) -> dict[str, str]:
        """What a number of this judge must be read with."""
        return {
            "judge": self.judge or "no reply",
            "judge_endpoint": self.endpoint,
            "judge_temperature": f"{self.temperature:g}",
            "judge_prompt_hash": self.prompt_hash,
        }


def judge_answers(
    cases: Sequence[JamaCase],
    answers: Mapping[str, str | None],
    client: "LLMClient",
    log_file: Path,
    on_call: Callable[[JudgeCall], None] | None = None,
) -> Judgement:
    """Judges answers; calls that stand in the file with a usable reply are not made again.

    Args:
        cases: All cases. One without a discussion or without an answer is unscored.
        answers: Answer by case id.
        client: The judge.
        log_file: JSON lines file of calls; the reference lists in it serve every model's answers.
        on_call: Called after each call that is made.

    Raises:
        PolicyError: The cases may not go to this endpoint; nothing was sent.
    """
    client.require_may_send(case.source for case in cases)
    calls = JudgeCalls(client, JudgeLog(log_file), on_call)
    judgeable = [case for case in cases if case.discussion and answers.get(case.id) is not None]
    lists = calls.make([_references_call(case) for case in judgeable])
    ratings = calls.make(
        [
            _rating_call(case, answers[case.id] or "", rubric, _lists(lists[case.id, "references"]))
            for case in judgeable
            if not lists[case.id, "references"].reason
            for rubric in RUBRICS
        ]
    )
    costs = [call.cost_usd for call in calls.made if call.cost_usd is not None]
    snapshots = {call.judge for call in [*lists.values(), *ratings.values()] if call.judge}
    return Judgement(
        cases=tuple(_judged(case, answers, {**lists, **ratings}) for case in cases),
        judge=", ".join(sorted(snapshots)),
        endpoint=client.endpoint,
        temperature=client.settings.temperature,
        prompt_hash=hash_value([load_prompt(name).sha256 for name in PROMPTS]),
        calls_made=len(calls.made),
        tokens_in=sum(call.tokens_in for call in calls.made),
        tokens_out=sum(call.tokens_out for call in calls.made),
        cost_usd=sum(costs) if costs else None,
    )


def _references_call(case: JamaCase) -> PlannedCall:
    prompt = load_prompt("judge_references")
    user = prompt.fill(question=_quoted(case.question), reference=_quoted(case.reference))
    return PlannedCall(case, "references", prompt, user, ReferenceLists)


def _rating_call(case: JamaCase, answer: str, rubric: str, lists: ReferenceLists) -> PlannedCall:
    prompt = load_prompt(f"judge_{rubric}")
    items: list[str] = getattr(lists, RUBRICS[rubric])
    user = prompt.fill(
        question=_quoted(case.question),
        items="\n".join(f"{number}. {_quoted(item)}" for number, item in enumerate(items, 1)),
        answer=_quoted(answer),
        worth=f"{MAX_SCORE / len(items):.2g}",
    )
    return PlannedCall(case, rubric, prompt, user, None)


def _quoted(text: str) -> str:
    """The text, unable to close the mark it stands in."""
    return text.replace("</", "< /")


def _lists(call: JudgeCall) -> ReferenceLists:
    start, end = call.reply.find("{"), call.reply.rfind("}")
    return ReferenceLists.model_validate_json(call.reply[start : end + 1])


def _judged(
    case: JamaCase, answers: Mapping[str, str | None], calls: Mapping[tuple[str, str], JudgeCall]
) -> JudgedCase:
    if not case.discussion:
        return JudgedCase(id=case.id, scores={}, reason="the case has no discussion")
    if answers.get(case.id) is None:
        return JudgedCase(id=case.id, scores={}, reason="there is no answer to judge")
    references = calls[case.id, "references"]
    if references.reason:
        return JudgedCase(id=case.id, scores={}, reason=f"references: {references.reason}")
    ratings = {rubric: calls[case.id, rubric] for rubric in RUBRICS}
    reasons = [f"{name}: {call.reason}" for name, call in ratings.items() if call.reason]
    if reasons:
        return JudgedCase(id=case.id, scores={}, reason="; ".join(reasons))
    scores = {name: call.score for name, call in ratings.items() if call.score is not None}
    return JudgedCase(id=case.id, scores=scores)
