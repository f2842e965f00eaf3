"""Runs the semi-human pipeline over a file of Records; resumable, one writer.

First the producer is asked for every draft that is not in the store yet, each committed as it
arrives. Then all records are written, in file order, with what passes the gates. So a run that is
stopped anywhere and started again asks for nothing twice, and the gates always are today's.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from semihvision.annotation.assemble import assemble
from semihvision.annotation.context import Retriever, find_context
from semihvision.annotation.draft import ContextItem, Draft, Producer, Task
from semihvision.annotation.paths import choose_path, owner_hash
from semihvision.annotation.settings import AnnotationPath, AnnotationSettings
from semihvision.annotation.store import DraftStore, store_path
from semihvision.annotation.summary import Summary
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.hashing import hash_value
from semihvision.core.images import read_image
from semihvision.core.lineage import sources_of
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
    run = _Run(producer, roots or {}, retriever, settings or AnnotationSettings())
    if out.resolve() == records.resolve():
        raise InputError(f"{out}: the output would replace its own input; choose another name")
    if out.suffix != ".parquet":
        raise InputError(f"{out}: expected a name that ends with .parquet")
    summary = Summary()
    with DraftStore(store_path(out)) as store:
        total = count_records(records)

        def advance() -> None:
            if on_progress is not None:
                on_progress(run.read, total)

        tasks = run.unfinished(read_records(records), store, summary)
        _produce(producer, tasks, store, clock, advance)
        _write(read_records(records), out, run, store, summary)
    summary.files = {"out": str(out), "store": str(store_path(out)), **summary.files}
    return summary


def work_key(record: Record, path: AnnotationPath, producer: Producer, index_sha256: str) -> str:
    """Identity of the work on a record: if none of this changes, it is not done again."""
    index = index_sha256 if path == "retrieve" else ""
    prompt = producer.prompt_hash(path, record.source)
    named = [producer.kind, producer.model, producer.options(), prompt, index]
    return hash_value([owner_hash(record), path, *named])


class _Run:
    """Turns records into tasks for one producer."""

    def __init__(
        self,
        producer: Producer,
        roots: Mapping[str, Path],
        retriever: Retriever | None,
        settings: AnnotationSettings,
    ) -> None:
        self.producer = producer
        self.settings = settings
        self.read = 0
        self._roots = roots
        self._retriever = retriever

    def key(self, record: Record, path: AnnotationPath) -> str:
        """See `work_key`."""
        index = self._retriever.sha256 if self._retriever else ""
        return work_key(record, path, self.producer, index)

    def unfinished(
        self, records: Iterator[Record], store: DraftStore, summary: Summary
    ) -> Iterator[Task]:
        """Tasks of the records whose draft is not in the store; failed ones are tried again."""
        taken: set[str] = set()
        for record in records:
            self.read += 1
            path = choose_path(record, self.settings)
            if path is None:
                continue
            key = self.key(record, path)
            if key in taken:
                continue
            taken.add(key)
            if store.finished(key):
                summary.resumed += 1
                continue
            summary.requested += 1
            try:
                task = self._task(record, path, key)
            except _UnusableRecordError as error:
                store.put(self._failed(record, path, key, error))
                continue
            yield task

    def _task(self, record: Record, path: AnnotationPath, key: str) -> Task:
        context: tuple[ContextItem, ...] = ()
        withheld: tuple[str, ...] = ()
        # What the policy will refuse anyway is neither opened nor looked up.
        own = {record.source: record.licence.conditions}
        permitted = all(
            self.producer.may_use(source, own.get(source, ())) for source in sources_of(record)
        )
        looks = permitted and self.producer.needs_pixels and record.images
        root = self._root(record) if looks else None
        if path == "retrieve" and permitted:
            context, withheld = self._context(record)
        return Task(
            key=key,
            record=record,
            path=path,
            images=record.images[: self.settings.max_images],
            root=root,
            context=context,
            withheld=withheld,
        )

    def _context(self, record: Record) -> tuple[tuple[ContextItem, ...], tuple[str, ...]]:
        if self._retriever is None:
            if self.producer.needs_context:
                raise InputError(
                    f"{record.record_id} has neither text nor regions nor labels, so it needs an "
                    "index of similar cases and guidelines: give one with --index DIR"
                )
            return (), ()
        try:
            image = read_image(self._root(record), record.images[0])
        except InputError as error:
            raise _UnusableRecordError(error.kind, str(error)) from None
        return find_context(record, image, self._retriever, self.settings, self.producer.may_use)

    def _root(self, record: Record) -> Path:
        if record.source not in self._roots:
            raise InputError(
                f"{record.record_id}: its images are needed; "
                f"give the folder of its source with --root {record.source}=DIR"
            )
        return self._roots[record.source]

    def _failed(
        self, record: Record, path: AnnotationPath, key: str, error: "_UnusableRecordError"
    ) -> Draft:
        return Draft(
            key=key,
            record_id=record.record_id,
            path=path,
            producer=self.producer.kind,
            model=self.producer.model,
            prompt_hash=self.producer.prompt_hash(path, record.source),
            failure=error.kind,
            reason=str(error),
        )


class _UnusableRecordError(Exception):
    """One record cannot be worked on; the run goes on."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


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
    records: Iterator[Record], out: Path, run: _Run, store: DraftStore, summary: Summary
) -> None:
    refusals = RefusalLog()
    with RecordWriter(out) as writer:
        for record in records:
            writer.write(_annotated(record, run, store, summary, refusals))
            summary.records += 1
    listed = out.with_name(f"{out.stem}.refused.jsonl")
    refusals.write(listed)
    summary.refused = refusals.counts()
    if refusals.items:
        summary.files["refused"] = str(listed)


def _annotated(
    record: Record, run: _Run, store: DraftStore, summary: Summary, refusals: RefusalLog
) -> Record:
    """The record with its draft worked in; unchanged, and listed, where there is none."""
    path = choose_path(record, run.settings)
    summary.by_path[path or "none"] += 1
    changed = record
    if path is None:
        reason = "no rule matches: it has no human text, region, label or image to start from"
        refusals.add(record.record_id, reason=reason, kind="no_path")
    else:
        draft = store.get(run.key(record, path))
        assert draft is not None, "every record with a path was worked on before"
        summary.count_draft(draft)
        if draft.failure:
            refusals.add(record.record_id, reason=draft.reason, kind=draft.failure)
        else:
            summary.prompt_hashes[f"{path}/{record.source}"] = draft.prompt_hash
            done = assemble(record, draft, run.settings)
            changed = done.record
            summary.count_gates(done.gates)
            refusals.items.extend(done.refused)
    summary.count_change(record, changed)
    return changed
