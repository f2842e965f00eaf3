"""PMC-Instruct: the text-only instructions of PMC-LLaMA.

Owner: Wu et al. (Hugging Face axiong/pmc_llama_instructions, GitHub chaoyi-wu/PMC-LLaMA).
URL: https://huggingface.co/datasets/axiong/pmc_llama_instructions
Licence: OpenRAIL.
Access: open download; nothing is downloaded here.
Citation: Wu et al., "PMC-LLaMA: toward building open-source language models for medicine", JAMIA
    31 (2024) 1833.
Expected tree::

    <root>/
      release.json        about 700 MB: [{instruction, input, output [, source, sample_id]}], or the
                          same as JSON lines

Split policy: the owners give no split. One row is one record; rows with the same input (a question
    in several wordings of its instruction) are one group.
Known (owners' repository): the prompt uses `instruction` and `input`. Third parties (a card of the
    data set read in August 2026): 513,999 rows; `output`, `source` (medqa_train, medmcqa,
    pubmedqa.ori_pqaa, liveqa, medicationqa, umls, umls_relation) and `sample_id`, which is null
    outside of medqa_train. Not verified on real files: the keys; this is the form that the reader
    takes, and a row of another is refused.
    Outputs with "###Rationale" were written by ChatGPT (the paper), the others are taken for
    people's. Its questions of MedQA, MedMCQA and PubMedQA are those of their training splits.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_modules.conversations import text_of
from data_modules.reading import OWNER, licence_of, valid_record
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.json_stream import object_rows
from semihvision.core.record import (
    Conversation,
    ConversationTurn,
    Label,
    Provenance,
    Record,
)
from semihvision.core.tables import required_file

CARD = Card(
    name="pmc_instruct",
    title="PMC-LLaMA instructions",
    owner="Wu et al., Shanghai Jiao Tong University",
    url="https://huggingface.co/datasets/axiong/pmc_llama_instructions",
    licence="OpenRAIL",
    licence_url="https://huggingface.co/datasets/axiong/pmc_llama_instructions",
    access="Open download.",
    citation="Wu et al., PMC-LLaMA, JAMIA 31 (2024) 1833",
    owners_caption_flag=True,
    human_text=True,
    api_clause="OpenRAIL restricts uses, not recipients.",
    redistribution="conditional",
    commercial_use="conditional",
    components=(Component(name="instructions", patterns=("release.json",), unit="rows"),),
    notes=(
        "Which OpenRAIL text applies is not known; the collected sets (MedQA, MedMCQA, PubMedQA, "
        "UMLS and others) have licences of their own."
    ),
)

FILE = "release.json"
RATIONALE = "###Rationale"
"""Begins an answer that the owners had written by a model."""
WRITER = Provenance(provenance_id="owners' model", producer="model", model="ChatGPT, by the owners")


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per row: the instruction with its input, and the answer; no image.

    Args:
        root: Folder of the layout above.
        refused: Gets rows that cannot be used, with the reason.

    Raises:
        InputError: The file is missing or no JSON.
    """
    path = required_file(root, FILE)
    seen: set[bytes] = set()
    for item, row in object_rows(path, refused):
        try:
            fields, content = _fields(row)
            if content in seen:
                raise InputError("the row is there already; the first is kept", kind="repeated_id")
        except InputError as error:
            refused.add(item, reason=str(error), kind=error.kind, file=path.name)
            continue
        seen.add(content)
        name = item.replace(" ", "")
        record = valid_record(
            item, refused, file=path.name, record_id=f"pmc_instruct/{name}", **fields
        )
        if record is not None:
            yield record


def _fields(row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Fields of the record, and a digest of what is said."""
    instruction, given, output = (text_of(row, key) for key in ("instruction", "input", "output"))
    empty = [key for key, text in (("instruction", instruction), ("output", output)) if not text]
    if empty:
        raise InputError(f"no {' and no '.join(empty)}", kind="invalid_row")
    asked = "\n\n".join(filter(None, (instruction, given)))
    origin = WRITER if RATIONALE in output else OWNER
    source = text_of(row, "source")
    talk = Conversation(
        conversation_id="conversation",
        turns=(
            ConversationTurn(role="human", text=asked),
            ConversationTurn(role="gpt", text=output),
        ),
        provenance_id=origin.provenance_id,
    )
    fields = {
        "source": "pmc_instruct",
        "group_id": f"input {hashlib.sha256((given or instruction).encode()).hexdigest()[:16]}",
        "labels": (Label(label_id="source", name="source", value=source, system="PMC-LLaMA"),)
        if source
        else (),
        "conversations": (talk,),
        "provenance": (origin,),
        "licence": licence_of(CARD),
    }
    return fields, hashlib.sha256(f"{asked}\0{output}".encode()).digest()[:12]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes an invented twin in the layout above; see `data_modules.twins.pmc_instruct`."""
    from data_modules.twins.pmc_instruct import write_twin as write

    write(root, cases=cases, seed=seed)
