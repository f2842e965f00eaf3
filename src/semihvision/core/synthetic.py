"""Demo twins: how their files, and every record made from them, say that they are synthetic.

A twin has its owner's layout, so nothing in its files tells it from the real ones. `demo-data`
leaves a marker in its root; whoever reads a marked root gives each record an origin that stays with
it through annotation and mix down to the model card. What is not marked may still be synthetic. A
record that was only written with a twin's case as context is none; `semihvision.core.lineage` says
that it was made with one.
"""

import json
from pathlib import Path

from semihvision.core.errors import InputError
from semihvision.core.files import write_text_atomically
from semihvision.core.record import DEMO_PRODUCER, Provenance, Record

MARKER = ".semihvision-demo-twin"
"""Hidden and without a suffix, so that no reader takes it for data."""

SYNTHETIC = "synthetic (demo twin)"
"""How it is said wherever people read it."""

_ORIGIN = Provenance(
    provenance_id="demo twin", producer=DEMO_PRODUCER, model="semihvision demo-data"
)


def mark(root: Path, source: str, *, cases: int, seed: int) -> None:
    """Marks a folder as a twin that was drawn here."""
    said = {"synthetic": True, "twin_of": source, "cases": cases, "seed": seed}
    write_text_atomically(root / MARKER, json.dumps(said) + "\n")


def is_marked(root: Path) -> bool:
    """Whether a folder is a marked twin."""
    return (root / MARKER).is_file()


def as_synthetic(record: Record) -> Record:
    """The record with the origin of a demo twin.

    Raises:
        InputError: The record has another origin of that name.
    """
    if record.is_synthetic:
        return record
    if any(one.provenance_id == _ORIGIN.provenance_id for one in record.provenance):
        raise InputError(f"record {record.record_id!r}: provenance id 'demo twin' is reserved")
    return record.model_copy(update={"provenance": (_ORIGIN, *record.provenance)})
