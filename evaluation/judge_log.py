"""The judge's file: one JSON object for every call, so that a run can go on where it stopped."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from semihvision.core.errors import InputError
from semihvision.core.json_files import parse_json, read_text


@dataclass(frozen=True, kw_only=True)
class JudgeCall:
    """One call of the judge and what came of it.

    Attributes:
        call_hash: SHA-256 of the messages, model, endpoint and temperature; a call with the same
            hash need not be made again.
        case_id: Case it is about.
        step: ``references`` or the name of a rubric.
        prompt: Name of the prompt template, with its version.
        prompt_hash: SHA-256 of the template.
        judge: Snapshot the server says it used; empty if there was no reply.
        endpoint: Base URL.
        temperature: Sampling temperature.
        reply: The reply as received.
        score: The score found in it; None for ``references`` and for what could not be scored.
        reason: Why the call brought nothing to use; empty if it did.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        cost_usd: Cost in US dollars; None where no price is known.
        seconds: Wall time.
    """

    call_hash: str
    case_id: str
    step: str
    prompt: str
    prompt_hash: str
    judge: str
    endpoint: str
    temperature: float
    reply: str
    score: float | None
    reason: str
    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    seconds: float


class JudgeLog:
    """Calls in a JSON lines file; reads what is there, appends what is new.

    Args:
        path: The file. A last line that was cut off by a kill is dropped.

    Raises:
        InputError: A line before the last is no call: this is some other file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calls: dict[str, JudgeCall] = {}
        if path.is_file():
            self._read()

    def _read(self) -> None:
        lines = read_text(self._path).split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                call = JudgeCall(**parse_json(line))
            except (ValueError, TypeError):
                if number == len(lines):
                    self._cut_last_line(line)
                    return
                raise InputError(
                    f"{self._path}, line {number}: no call of a judge; name another file"
                ) from None
            self._calls[call.call_hash] = call

    def _cut_last_line(self, line: str) -> None:
        with self._path.open("r+b") as stream:
            stream.truncate(self._path.stat().st_size - len(line.encode()))

    def usable(self, call_hash: str) -> JudgeCall | None:
        """The call with that hash if it brought something to use, else None."""
        call = self._calls.get(call_hash)
        return call if call is not None and not call.reason else None

    def append(self, call: JudgeCall) -> None:
        """Adds a call and writes it at once."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(call), ensure_ascii=False) + "\n")
        self._calls[call.call_hash] = call
