"""Runs the semi-human pipeline over a file of Records; resumable, one writer.

First the producer is asked for every draft that is not in the store yet, each committed as it
arrives. Then all records are written, in file order, with what passes the gates. So a run that is
stopped anywhere and started again asks for nothing twice, and the gates always are today's.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from semihvision.annotation.assemble import assemble
from semihvision.annotation.context import Retriever
from semihvision.annotation.draft import Draft, Producer, Task
from semihvision.annotation.paths import choose_path
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.store import DraftStore, store_path
from semihvision.annotation.summary import Summary
from semihvision.annotation.worklist import Worklist
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.parquet import RecordWriter, count_records, read_records
from semihvision.core.record import Record

GIVE_UP_AFTER = 20
"""Requests in a row without any usable HTTP answer, after which a run stops: the endpoint is down
or the key is wrong, and thousands of further failures would tell nobody more."""


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def annotate(
    records: Path,
    *,
    out: Path,
    producer: Producer,
    roots: Mapping[str, Path] | None = None,
    retriever: Retriever | None = None,
    settings: AnnotationSettings | None = None,
    clock: Callable[[], datetime] = utc_now,
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Annotates a file of Records.

    Args:
        records: Parquet file of Records.
        out: Parquet file to write: every record, with what was generated for it. Beside it stand
            the store (``<stem>.annotate.sqlite``) and, if anything was refused,
            ``<stem>.refused.jsonl``.
        producer: Who writes: `TemplateProducer` or `ModelProducer`.
        roots: Folder of each source; needed where the producer or the retriever looks at images.
        retriever: Index for the path ``retrieve``.
        settings: Rules, limits, gates.
        clock: Gives the time that is written into provenance.
        on_progress: Called with (records dealt with, records in all) while drafts are made.

    Returns:
        The summary; `Summary.refused` is empty if nothing was refused.

    Raises:
        InputError: Unusable input or settings, a missing root, a store in use, or an endpoint
            that does not answer; finished work is kept.
    """
    work = Worklist(producer, roots or {}, retriever, settings or AnnotationSettings())
    if out.resolve() == records.resolve():
        raise InputError(f"{out}: the output would replace its own input; choose another name")
    if out.suffix != ".parquet":
        raise InputError(f"{out}: expected a name that ends with .parquet")
    summary = Summary()
    with DraftStore(store_path(out)) as store:
        total = count_records(records)

        def advance() -> None:
            if on_progress is not None:
                on_progress(work.read, total)

        tasks = work.unfinished(read_records(records), store, summary)
        _produce(producer, tasks, store, clock, advance)
        _write(read_records(records), out, work, store, summary)
    summary.files = {"out": str(out), "store": str(store_path(out)), **summary.files}
    return summary


def _produce(
    producer: Producer,
    tasks: Iterator[Task],
    store: DraftStore,
    clock: Callable[[], datetime],
    advance: Callable[[], None],
) -> None:
    unanswered = 0

    def keep(draft: Draft) -> None:
        nonlocal unanswered
        stamp = clock().astimezone(UTC).isoformat(timespec="seconds")
        store.put(draft.model_copy(update={"created_at": stamp}))
        advance()
        unanswered = unanswered + 1 if draft.failure == "transport" else 0
        if unanswered >= GIVE_UP_AFTER:
            raise InputError(
                f"{unanswered} requests in a row had no usable answer (last: {draft.reason}); "
                "finished work is kept, run the same command again to go on"
            )

    producer.produce(tasks, keep)
    advance()


def _write(
    records: Iterator[Record], out: Path, work: Worklist, store: DraftStore, summary: Summary
) -> None:
    refusals = RefusalLog()
    with RecordWriter(out) as writer:
        for record in records:
            writer.write(_annotated(record, work, store, summary, refusals))
            summary.records += 1
    listed = out.with_name(f"{out.stem}.refused.jsonl")
    refusals.write(listed)
    summary.refused = refusals.counts()
    if refusals.items:
        summary.files["refused"] = str(listed)


def _annotated(
    record: Record, work: Worklist, store: DraftStore, summary: Summary, refusals: RefusalLog
) -> Record:
    """The record with its draft worked in; unchanged, and listed, where there is none."""
    path = choose_path(record, work.settings)
    summary.by_path[path or "none"] += 1
    changed = record
    if path is None:
        reason = "no rule matches: it has no human text, region, label or image to start from"
        refusals.add(record.record_id, reason=reason, kind="no_path")
    else:
        draft = store.get(work.key(record, path))
        assert draft is not None, "every record with a path was worked on before"
        summary.count_draft(draft)
        if draft.failure:
            refusals.add(record.record_id, reason=draft.reason, kind=draft.failure)
        else:
            summary.prompt_hashes[f"{path}/{record.source}"] = draft.prompt_hash
            done = assemble(record, draft, work.settings)
            changed = done.record
            summary.count_gates(done.gates)
            refusals.items.extend(done.refused)
    summary.count_change(record, changed)
    return changed
