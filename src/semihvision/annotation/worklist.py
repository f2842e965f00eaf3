"""Which records still need a draft, and what a producer is given to make it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from semihvision.annotation.context import Retriever, find_context
from semihvision.annotation.draft import ContextItem, Draft, Producer, Task
from semihvision.annotation.paths import choose_path, owner_hash
from semihvision.annotation.settings import AnnotationPath, AnnotationSettings
from semihvision.annotation.store import DraftStore
from semihvision.annotation.summary import Summary
from semihvision.core.errors import InputError
from semihvision.core.hashing import hash_value
from semihvision.core.images import read_image
from semihvision.core.lineage import sources_of
from semihvision.core.record import Record


def work_key(record: Record, path: AnnotationPath, producer: Producer, index_sha256: str) -> str:
    """Identity of the work on a record: if none of this changes, it is not done again."""
    index = index_sha256 if path == "retrieve" else ""
    prompt = producer.prompt_hash(path, record.source)
    named = [producer.kind, producer.model, producer.options(), prompt, index]
    return hash_value([owner_hash(record), path, *named])


class Worklist:
    """Turns records into tasks for one producer.

    Attributes:
        producer: Who writes.
        settings: Rules and limits.
        read: Records that were looked at so far.

    Args:
        producer: Who writes.
        roots: Folder of each source.
        retriever: Index for the path ``retrieve``.
        settings: Rules and limits.
    """

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
