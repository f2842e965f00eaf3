"""The result of the pipeline as LLaVA JSONL: the generated conversations (paper.md 1.5)."""

import json
from pathlib import Path
from typing import NamedTuple

from semihvision.core.errors import RefusalLog
from semihvision.core.lineage import withheld_by
from semihvision.core.llava import export_lines
from semihvision.core.parquet import read_records
from semihvision.core.record import Record


class Exported(NamedTuple):
    """How much was written.

    Attributes:
        records: Records read.
        conversations: Lines written.
        records_without: Records without a current generated conversation.
        records_withheld: Records that a source's terms keep out of every export.
    """

    records: int
    conversations: int
    records_without: int
    records_withheld: int


def export_generated(records: Path, out: Path, refused: RefusalLog) -> Exported:
    """Writes every current conversation that this pipeline's template or model made, one a line.

    Single questions are left out, since the conversations hold them; `semihvision records export`
    writes those, and what the owners shipped.

    Args:
        records: Annotated records in Parquet.
        out: JSONL file; it appears under its name only when complete.
        refused: Gets the records that a source's terms keep out of every export.
    """
    read = written = without = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        for record in read_records(records):
            read += 1
            withheld = withheld_by(record)
            if withheld:
                refused.add(record.record_id, reason=withheld, kind="withheld")
                continue
            wanted = _generated(record)
            lines = [line for line in export_lines([record]) if json.loads(line)["id"] in wanted]
            stream.writelines(line + "\n" for line in lines)
            written += len(lines)
            without += not lines
    partial.replace(out)
    return Exported(read, written, without, len(refused.items))


def _generated(record: Record) -> set[str]:
    """Lines of what was made here: an owner's own model leaves no time of its making."""
    machines = {
        entry.provenance_id
        for entry in record.provenance
        if entry.producer in ("template", "model") and entry.created_at
    }
    return {
        f"{record.record_id}#{conversation.conversation_id}"
        for conversation in record.current(record.conversations)
        if conversation.provenance_id in machines
    }
