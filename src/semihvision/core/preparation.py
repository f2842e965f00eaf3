"""An owner's files -> Records in Parquet: streamed, with a pool for images, and not twice.

Three runs are told apart. If nothing below the root has changed (path, size, modification time),
the files made before stand. If some images have, only they are examined. If many are new, a pool
examines them before the reader asks for them (see `semihvision.core.prefetch`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semihvision.core.counts import RecordCounts
from semihvision.core.digest_set import DigestSet
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.fingerprint import code_fingerprint, file_fingerprint, tree_fingerprint
from semihvision.core.hashing import hash_value
from semihvision.core.images import examining_by
from semihvision.core.parquet import RecordWriter
from semihvision.core.prefetch import Prefetch
from semihvision.core.probe_cache import ProbeCache, opened_cache
from semihvision.core.record import Record

Reader = Callable[[Path, RefusalLog], Iterator[Record]]
Told = Callable[[str, int], None]

_CORE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Outcome of one preparation.

    Attributes:
        counts: Of the records, as `RecordCounts.document`.
        refused: Refused items by kind.
        refused_path: Where they are listed, if there are any.
        images_examined: Images that were hashed and decoded in this run.
        is_unchanged: Whether nothing had changed and the files made before stand.
    """

    counts: dict[str, Any]
    refused: dict[str, int]
    refused_path: Path
    images_examined: int
    is_unchanged: bool


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is to be prepared, and from what.

    Attributes:
        name: Source name.
        reader: Its reader, with the options set.
        options: These options; they and the files that they name count as input.
        root: Folder in the owner's layout.
        out: Parquet file to write.
        code: Folders of the code that the records depend on, beside this one.
    """

    name: str
    reader: Reader
    options: Mapping[str, Any]
    root: Path
    out: Path
    code: tuple[Path, ...] = ()

    @property
    def refused_path(self) -> Path:
        """Where refused items are listed."""
        return self.out.with_suffix(".refused.jsonl")

    @property
    def cache_path(self) -> Path:
        """Where it is kept what is known of the images, and the outcome of the last run."""
        return self.out.with_suffix(".prepare.sqlite")

    def basis(self) -> str:
        """Hash of what every entry of the cache depends on."""
        code = code_fingerprint(_CORE / "images.py", _CORE / "imaging")
        return hash_value([code, str(self.root.resolve())])

    def input_key(self) -> str:
        """Hash of what the outcome depends on, beside the basis."""
        code = code_fingerprint(_CORE, *self.code)
        named = [Path(value) for value in self.options.values() if isinstance(value, str | Path)]
        files = {str(path): file_fingerprint(path) for path in named}
        tree = tree_fingerprint(self.root)
        return hash_value([code, self.name, dict(self.options), files, tree])

    def output_key(self) -> list[Any]:
        """Fingerprints of the files that a run writes."""
        return [list(file_fingerprint(path) or ()) for path in (self.out, self.refused_path)]


def prepare_records(
    task: Preparation, *, workers: int = 1, verify: bool = False, told: Told = lambda what, n: None
) -> Prepared:
    """Reads a source and writes its records, the refused items beside them.

    Args:
        task: What to read and where to write.
        workers: Processes that examine images where many are new; 1: this process alone.
        verify: Hash all images anew, rather than trust size and modification time.
        told: Told what was done and how many more of it, for a progress display.

    Raises:
        InputError: Unusable root, or not one usable record.
    """
    task.out.parent.mkdir(parents=True, exist_ok=True)
    with opened_cache(task.cache_path, basis=task.basis(), verify=verify) as cache:
        key = task.input_key()
        kept = cache.outcome() or {}
        if not verify and (kept.get("input"), kept.get("output")) == (key, task.output_key()):
            return Prepared(
                counts=kept["counts"],
                refused=kept["refused"],
                refused_path=task.refused_path,
                images_examined=0,
                is_unchanged=True,
            )
        cache.keep_outcome(None)
        counts, refused = _write(task, cache, workers, told)
        outcome = {"counts": counts.document(), "refused": refused.counts()}
        cache.keep_outcome({"input": key, "output": task.output_key(), **outcome})
        return Prepared(
            **outcome,
            refused_path=task.refused_path,
            images_examined=cache.num_examined,
            is_unchanged=False,
        )


def _write(
    task: Preparation, cache: ProbeCache, workers: int, told: Told
) -> tuple[RecordCounts, RefusalLog]:
    counts, refused = RecordCounts(), RefusalLog()
    seen = DigestSet()
    try:
        with (
            Prefetch(cache, lambda: task.reader(task.root, RefusalLog()), workers=workers) as ahead,
            RecordWriter(task.out) as writer,
            examining_by(ahead),
        ):
            for record in task.reader(task.root, refused):
                if not seen.add(record.record_id):
                    reason = "this record_id was already used; the first record is kept"
                    refused.add(record.record_id, reason=reason, kind="repeated_id")
                    continue
                writer.write(record)
                counts.add(record)
                told("records", 1)
            if not counts.records:
                raise InputError(
                    f"{task.root}: not one usable record; refused: {refused.counts() or 'nothing'} "
                    f"(reasons in {task.refused_path})"
                )
    finally:
        refused.write(task.refused_path)
    return counts, refused
