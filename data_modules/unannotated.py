"""What to say, and to do, where records hold nothing that could be trained on yet."""

from collections.abc import Sequence
from pathlib import Path

from data_modules.samples import Samples
from semihvision.core.errors import InputError

CONFIG = "configs/annotate/default.yaml"


def check_annotated(samples: Samples, roots: dict[str, Path], files: Sequence[Path]) -> None:
    """Refuses sources of which not one record has a text, question or conversation.

    Single records without any are listed as refused; a source without any is a mistake.

    Args:
        samples: What was read.
        roots: Folder of every source.
        files: Parquet files that were read; none where the owner's own files were.

    Raises:
        InputError: There is such a source; the commands that annotate it are named.
    """
    bare = [s for s, number in samples.unannotated.items() if number == samples.records[s]]
    if bare:
        said = [
            f"{source}: {samples.unannotated[source]} of {samples.records[source]} records have no "
            "text, question or conversation, so there is nothing to train on. Annotate them:\n"
            + "\n".join(f"  {line}" for line in commands(samples, source, roots[source], files))
            for source in bare
        ]
        raise InputError("\n".join(said), kind="unannotated")


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
