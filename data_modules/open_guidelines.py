"""Open clinical guidelines, as collected for Meditron: context for annotation, no training data.

Owner: the publishers (CCO, CDC, CMA, ICRC, NICE, SPOR, WHO, WikiDoc); collected by EPFL.
URL: https://huggingface.co/datasets/epfl-llm/guidelines
Licence: differs by publisher; source and address stay with every passage.
Access: download from Hugging Face after accepting the terms there; nothing is downloaded here.
Citation: Chen et al., "MEDITRON-70B: Scaling Medical Pretraining for Large Language Models", 2023.
Expected tree::

    <root>/
      open_guidelines.jsonl     source, title, clean_text, raw_text, url, overview [, id]

Split policy: none; a guideline is context and no example. One document is one record, its passages
    (as the index has them) its texts; there is no data module, for nothing is trained on.
Known (owners' code, epfLLM/meditron): the keys and the number of documents by publisher (cco 87,
    cdc 621, cma 431, icrc 49, nice 1656, wikidoc 33058, who 223, spor not known). Not verified: the
    card's `id`; without one a document is named by the digest of its text. No rows were available.
Not taken into Records: raw_text and overview. `semihvision index build --guidelines` takes the file
    itself.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from data_modules.reading import OWNER, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import RefusalLog
from semihvision.core.record import Label, Licence, Record, Text
from semihvision.core.tables import required_file

CARD = Card(
    name="open_guidelines",
    title="Open clinical guidelines (Meditron)",
    owner="the publishers; collected by EPFL LLM Team",
    url="https://huggingface.co/datasets/epfl-llm/guidelines",
    licence="differs by publisher",
    access="Download from Hugging Face; nothing is downloaded here.",
    citation="Chen et al., MEDITRON-70B, 2023 (arXiv 2311.16079)",
    human_text=True,
    api_clause="The publishers' terms differ; some allow personal use only.",
    redistribution="conditional",
    commercial_use="conditional",
    components=(Component(name="guidelines", patterns=("open_guidelines.jsonl",), unit="rows"),),
    notes="Terms of the single publishers were not checked one by one (not known).",
)

FILE = "open_guidelines.jsonl"


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per document with its passages, in the file's order.

    Args:
        root: Folder of the layout above.
        refused: Gets lines that cannot be used, with the reason.

    Raises:
        InputError: The file is missing.
    """
    # The retriever's package needs numpy, and cards are shown without it.
    from semihvision.retrieval.guidelines import read_guidelines

    path = required_file(root, FILE)
    found = RefusalLog()
    for document, passages in groupby(read_guidelines(path, found), key=lambda one: one.document):
        parts = list(passages)
        first = parts[0]
        record = valid_record(
            document,
            refused,
            file=FILE,
            record_id=f"open_guidelines/{document}",
            source="open_guidelines",
            group_id=document,
            labels=(
                Label(label_id="source", name="source", value=first.source, system="Meditron"),
            ),
            texts=tuple(
                Text(
                    text_id=part.ref,
                    kind="guideline",
                    text=f"{part.title}\n\n{part.text}" if part.title else part.text,
                    provenance_id=OWNER.provenance_id,
                )
                for part in parts
            ),
            provenance=(OWNER,),
            licence=Licence(name=f"terms of {first.source}", url=first.url),
        )
        if record is not None:
            yield record
    for item in found.items:
        refused.add(item.item, reason=item.reason, kind=item.kind, file=FILE)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes invented guidelines in the layout above; see `data_modules.twins.open_guidelines`."""
    from data_modules.twins.open_guidelines import write_twin as write

    write(root, cases=cases, seed=seed)
