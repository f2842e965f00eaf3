"""What to say, and to do, where records hold nothing that could be trained on yet."""

import logging
from collections.abc import Sequence
from pathlib import Path

from data_modules.samples import UNANNOTATED, Samples
from semihvision.core.errors import InputError

_log = logging.getLogger(__name__)

CONFIG = "configs/annotate/default.yaml"


def check_annotated(samples: Samples, roots: dict[str, Path], files: Sequence[Path]) -> None:
    """Names sources of which not one record has a text, question or conversation.

    Their records are listed as refused. Where other sources are left to train on, as when a model
    has answered nothing usable about one of them, that is said and no error.

    Args:
        samples: What was read.
        roots: Folder of every source.
        files: Parquet files that were read; none where the owner's own files were.

    Raises:
        InputError: No sample is left at all; the commands that annotate the records are named.
    """
    said = "\n".join(
        f"{source}: {number} of {samples.records[source]} records have no text, question or "
        "conversation, so there is nothing to train on. Annotate them:\n"
        + "\n".join(f"  {line}" for line in commands(samples, source, roots[source], files))
        for source, number in samples.unannotated.items()
        if number == samples.records[source]
    )
    if said and not any(samples.splits.values()):
        raise InputError(said, kind=UNANNOTATED)
    if said:
        _log.warning("%s", said)


def commands(samples: Samples, source: str, root: Path, files: Sequence[Path]) -> list[str]:
    """What a user types to annotate a source, ready to be copied."""
    prepared = str(files[0]) if len(files) == 1 else f"{source}.parquet"
    annotated = str(Path(prepared).with_suffix(".annotated.parquet"))
    lines = []
    if not files:
        lines.append(f"semihvision prepare {source} --root {root} --out {prepared}")
    index = ""
    if samples.bare[source]:
        # Nothing is known of a bare image: similar cases and guidelines are looked up first.
        lines.append(
            f"semihvision index build --records {prepared} --root {source}={root} "
            f"--out {source}.index"
        )
        index = f" --index {source}.index"
    lines.append(
        f"semihvision annotate run -c {CONFIG} --records {prepared} --root {source}={root}"
        f"{index} --out {annotated}"
    )
    lines.append(f"and give {annotated} as `records` of the data module")
    return lines
