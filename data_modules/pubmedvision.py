"""PubMedVision: questions and answers about PubMed figures, rewritten by GPT-4V.

Owner: Chen et al., FreedomIntelligence (HuatuoGPT-Vision).
URL: https://huggingface.co/datasets/FreedomIntelligence/PubMedVision
Licence: Apache-2.0 (the owners' card); figures keep their articles' licences.
Access: open download; nothing is downloaded here.
Citation: Chen et al., "HuatuoGPT-Vision, Towards Injecting Medical Visual Knowledge into Multimodal
    LLMs at Scale", 2024 (arXiv 2406.19280).
Expected tree (either JSON file or both)::

    <root>/
      PubMedVision_Alignment_VQA.json            [{id, image: [path, ...], conversations,
      PubMedVision_InstructionTuning_VQA.json      modality, body_part}]
      images/<...>                               images_*.zip, unpacked flat (`unzip -j`)

Split policy: the owners give no split. One row is one record; rows whose first figures' names begin
    alike ("pmc_1" of images/pmc_1_0.jpg) are one group, so that both files' rows about a figure
    stay together.
Known (owners' card): the files, 647,031 rows each, the five keys, that modality and body part were
    written by HuatuoGPT-Vision-7B. Third parties: 45 modalities and 31 body parts; nine rows name
    figures that the archives lack; a row shows its images in no turn, so they come first. Not
    known: the values of modality and body part. Both stay as labels; where a modality's words are
    in `MODALITIES_OF` (general knowledge), the record has it, else none.
Not taken into Records: PubMedVision_Chinese.json and PubMedVision_Original_Caption.json.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_modules.cells import image_of_cell
from data_modules.conversations import conversation_of, text_of
from data_modules.dialogue_rows import dialogue_records
from data_modules.reading import licence_of
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.digest_set import DigestSet
from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.record import Label, Provenance, Record

CARD = Card(
    name="pubmedvision",
    title="PubMedVision",
    owner="Chen et al., FreedomIntelligence",
    url="https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
    licence="Apache-2.0",
    licence_url="https://www.apache.org/licenses/LICENSE-2.0",
    access="Open download.",
    citation="Chen et al., HuatuoGPT-Vision, 2024 (arXiv 2406.19280)",
    human_text=False,
    api_clause="Apache-2.0 sets no rule for hosted models; figures keep their articles' licences.",
    redistribution="yes",
    commercial_use="conditional",
    components=(
        Component(
            name="alignment",
            patterns=("PubMedVision_Alignment_VQA.json",),
            unit="rows",
            published=647_031,
            origin="owners",
            is_required=False,
        ),
        Component(
            name="instruction tuning",
            patterns=("PubMedVision_InstructionTuning_VQA.json",),
            unit="rows",
            published=647_031,
            origin="owners",
            is_required=False,
        ),
        Component(name="figures", patterns=("images/*",)),
    ),
    notes=(
        "Its texts were written by GPT-4V from figures and captions, so the provider's terms apply "
        "too. The licences of the single figures are not part of the files."
    ),
)

FILES = {
    "alignment": "PubMedVision_Alignment_VQA.json",
    "instruction": "PubMedVision_InstructionTuning_VQA.json",
}
MODALITIES_OF = {
    "computed tomography": "ct",
    "magnetic resonance imaging": "mr",
    "x-ray": "xray",
    "digital radiography": "xray",
    "ultrasound": "ultrasound",
    "endoscopy": "endoscopy",
    "digital photography": "camera",
    "optical coherence tomography": "oct",
    "dermoscopy": "dermatology",
}
"""Owners' modality in lower case -> ours, where the words leave no doubt."""
WRITER = Provenance(provenance_id="owners' model", producer="model", model="GPT-4V, by the owners")

_LABELLER = "HuatuoGPT-Vision-7B"
_FIGURE = re.compile(r"([A-Za-z]+_[0-9]+)_")


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per row, in the files' order; one row is held at a time.

    Args:
        root: Folder in the owners' layout.
        refused: Gets rows that cannot be used, with the reason.

    Raises:
        InputError: Neither file is there, or one is no JSON.
    """
    paths = [root / name for name in FILES.values() if (root / name).is_file()]
    if not paths:
        raise InputError(f"{root}: no file {' or '.join(FILES.values())}")
    seen = DigestSet()
    for path in paths:
        yield from dialogue_records(
            path,
            refused,
            prefix="pubmedvision/",
            seen=seen,
            id_of=lambda row, item: text_of(row, "id"),
            fields_of=partial(_fields, root, path.name, refused),
        )


def _fields(
    root: Path, file: str, refused: RefusalLog, row: dict[str, Any], item: str
) -> dict[str, Any]:
    paths = row.get("image")
    if not isinstance(paths, list) or not paths or not all(isinstance(one, str) for one in paths):
        raise InputError("image: expected a list of paths", kind="invalid_row")
    image_ids = [f"image {number}" for number in range(1, len(paths) + 1)]
    talk = conversation_of(
        row, image_ids, item=item, file=file, refused=refused, provenance_id=WRITER.provenance_id
    )
    name = paths[0].rpartition("/")[2]
    figure = _FIGURE.match(name)
    labels = {key: text_of(row, key) for key in ("modality", "body_part")}
    return {
        "source": "pubmedvision",
        "group_id": figure[1] if figure else name,
        "images": tuple(
            image_of_cell(root, path, image_id=image_id)
            for path, image_id in zip(paths, image_ids, strict=True)
        ),
        "labels": tuple(
            Label(label_id=key, name=key, value=value, system=_LABELLER)
            for key, value in labels.items()
            if value
        ),
        "modality": MODALITIES_OF.get(labels["modality"].lower(), ""),
        "conversations": (talk,),
        "provenance": (WRITER,),
        "licence": licence_of(CARD),
    }


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.pubmedvision`."""
    from data_modules.twins.pubmedvision import write_twin as write

    write(root, cases=cases, seed=seed)
