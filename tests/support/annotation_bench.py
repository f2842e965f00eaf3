"""Records on disk, a server, and runs of the annotation pipeline over them."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotation_records import (
    ListRetriever,
    case_hit,
    guideline_hit,
    with_text,
    write_case,
)
from chat_server import Answer, ChatServer, as_json

from semihvision.annotation.model import ModelProducer
from semihvision.annotation.runner import annotate
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.summary import Summary
from semihvision.core.parquet import read_records
from semihvision.core.policy import Permission
from semihvision.core.record import Record
from semihvision.llm.client import LLMClient, LLMSettings

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


class Bench:
    """Records on disk, a server, and a shorthand for one run over them."""

    def __init__(self, folder: Path, server: ChatServer, records: Sequence[Record]) -> None:
        self.server = server
        self.path, self.roots = write_case(folder, records)
        self.out = folder / "out.parquet"
        self.retriever = ListRetriever([case_hit(), guideline_hit()])
        self.settings = AnnotationSettings()

    def client(self, permissions: Sequence[Permission] = (), **changes: Any) -> LLMClient:
        values = {"model": "toy", "base_url": self.server.base_url, "max_retries": 0}
        return LLMClient(LLMSettings(**{**values, "concurrency": 2, **changes}), permissions)

    def run(self, client: LLMClient | None = None, **changes: Any) -> Summary:
        values: dict[str, Any] = {"roots": self.roots, "retriever": self.retriever}
        producer = ModelProducer(client or self.client(), self.settings)
        return annotate(
            self.path,
            out=self.out,
            producer=producer,
            settings=self.settings,
            clock=lambda: NOON,
            **{**values, **changes},
        )

    def written(self) -> dict[str, Record]:
        return {record.record_id: record for record in read_records(self.out)}

    def refused(self) -> dict[str, dict[str, str]]:
        lines = self.out.with_name("out.refused.jsonl").read_text().splitlines()
        return {item["item"]: item for item in map(json.loads, lines)}


MakeBench = Callable[..., Bench]


def reply(caption: str = "A mass.", *qa: tuple[str, str], numbers: Sequence[int] = ()) -> Answer:
    pairs = [
        {"question": q, "answer": a, "answer_type": "OPEN", "image_numbers": list(numbers)}
        for q, a in qa
    ]
    return as_json({"caption": caption, "qa": pairs})


def many(count: int) -> list[Record]:
    return [with_text(f"case{i}") for i in range(count)]
