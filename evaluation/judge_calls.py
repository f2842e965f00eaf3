"""Making the judge's calls: each one once, and written down before the next."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

from evaluation.jama import JamaCase
from evaluation.judge_log import JudgeCall, JudgeLog
from evaluation.judge_replies import Score, parse_score
from evaluation.prompts import Prompt, load_prompt
from semihvision.core.hashing import hash_value
from semihvision.llm.exchange import LLMReply, LLMRequest

if TYPE_CHECKING:
    from semihvision.llm.client import LLMClient


class PlannedCall(NamedTuple):
    """One call to make.

    Attributes:
        case: The case it is about.
        step: ``references`` or the name of a rubric; with the case it names the call.
        prompt: The template, for the log.
        user: The user message, filled in.
        schema: Type of the reply; None for a single number.
    """

    case: JamaCase
    step: str
    prompt: Prompt
    user: str
    schema: type[BaseModel] | None


class JudgeCalls:
    """Makes planned calls, or takes them from the log.

    Attributes:
        made: The calls that were made, in order of their replies.

    Args:
        client: The judge.
        log: Earlier calls; new ones are added at once.
        on_call: Called after each call that is made.
    """

    def __init__(
        self, client: "LLMClient", log: JudgeLog, on_call: Callable[[JudgeCall], None] | None
    ) -> None:
        self.made: list[JudgeCall] = []
        self._client = client
        self._log = log
        self._on_call = on_call
        self._system = load_prompt("judge_system")

    def make(self, planned: Sequence[PlannedCall]) -> dict[tuple[str, str], JudgeCall]:
        """Calls by case id and step."""
        hashes = {self._hash(plan): plan for plan in planned}
        done = {name: self._log.usable(name) for name in hashes}

        def note(reply: LLMReply) -> None:
            call = self._call(hashes[reply.request_id], reply)
            self._log.append(call)
            self.made.append(call)
            done[reply.request_id] = call
            if self._on_call is not None:
                self._on_call(call)

        missing = [name for name, call in done.items() if call is None]
        self._client.run((self._request(name, hashes[name]) for name in missing), note)
        return {
            (plan.case.id, plan.step): call
            for name, plan in hashes.items()
            if (call := done[name]) is not None
        }

    def _hash(self, plan: PlannedCall) -> str:
        settings = self._client.settings
        asked = [self._client.endpoint, settings.model, settings.temperature, settings.max_tokens]
        return hash_value([plan.case.id, plan.step, self._system.text, plan.user, *asked])

    def _request(self, name: str, plan: PlannedCall) -> LLMRequest:
        return LLMRequest(
            request_id=name,
            sources=(plan.case.source,),
            system=self._system.text,
            user=plan.user,
            schema=plan.schema,
        )

    def _call(self, plan: PlannedCall, reply: LLMReply) -> JudgeCall:
        score, reason = Score(None), f"{reply.failure}: {reply.reason}" if reply.failure else ""
        if not reason and plan.schema is None:
            score = parse_score(reply.text)
            reason = score.reason
        return JudgeCall(
            call_hash=reply.request_id,
            case_id=plan.case.id,
            step=plan.step,
            prompt=plan.prompt.name,
            prompt_hash=plan.prompt.sha256,
            judge=reply.model,
            endpoint=self._client.endpoint,
            temperature=self._client.settings.temperature,
            reply=reply.text,
            score=score.value,
            reason=reason,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cost_usd=reply.cost_usd,
            seconds=reply.seconds,
        )
