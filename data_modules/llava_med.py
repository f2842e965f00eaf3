"""LLaVA-Med: alignment and instruction conversations made from PMC figures and their captions.

Owner: Microsoft (microsoft/LLaVA-Med).
URL: https://github.com/microsoft/LLaVA-Med
Licence: data CC BY-NC 4.0.
Access: open download of the JSON files; original image links are often dead; nothing is
    downloaded here.
Citation: Li et al., "LLaVA-Med: Training a Large Language-and-Vision Assistant for Biomedicine in
    One Day", NeurIPS 2023.
Expected tree (any of the JSON files, which may also lie directly in the root)::

    <root>/
      alignment/llava_med_alignment_500k.json                LLaVA form: id, image, conversations
      instruct/llava_med_instruct_10k.json                     (or conversatons) [, domain]
      instruct/llava_med_instruct_60k.json
      instruct/llava_med_instruct_60k_inline_mention.json
      images/<image>                                         <pair_id>.jpg, unpacked from PMC

Split policy: none; one figure of one file is one record, one article (the digits that begin the
    figure's name, else the figure) one group.
Known (owners' repository): the form and the names of the files; some files misspell
    `conversatons`; the owners' script copies figures to images/<pair_id>.jpg. Many figures cannot
    be fetched any more: each of their rows is refused. `domain` is known from the 50-image chat
    benchmark; where several hold, the first of its order counts. The 10k and 60k files are about
    the same figures in other words, so their records differ by the file's name. The link to this
    source in the SemiHVision authors' table points to LLD-MMRI by mistake.
Not taken into Records: llava_med_instruct_fig_captions.json, the chat benchmark (its licence now
    forbids distributing it) and keys other than those above.
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
from semihvision.core.paths import inside
from semihvision.core.record import Provenance, Record

CARD = Card(
    name="llava_med",
    title="LLaVA-Med",
    owner="Microsoft",
    url="https://github.com/microsoft/LLaVA-Med",
    licence="CC-BY-NC-4.0",
    licence_url="https://creativecommons.org/licenses/by-nc/4.0/",
    access="Open download of the conversations; images from PMC, many links are dead.",
    citation="Li et al., LLaVA-Med, NeurIPS 2023",
    owners_caption_flag=True,
    human_text=False,
    api_clause="CC BY-NC sets no rule for hosted models; figures keep their articles' licences.",
    redistribution="yes",
    commercial_use="no",
    components=(
        Component(
            name="alignment",
            patterns=("alignment/*.json", "llava_med_alignment_*.json"),
            unit="rows",
            is_required=False,
        ),
        Component(
            name="instructions",
            patterns=("instruct/*.json", "llava_med_instruct_*.json"),
            unit="rows",
            is_required=False,
        ),
        Component(name="figures", patterns=("images/*",)),
    ),
    notes=(
        "Its conversations were written by GPT-4 from captions, so the provider's terms apply "
        "too. The licence of its 50-image chat benchmark now forbids distributing it."
    ),
)

FILES = {
    "alignment_500k": ("alignment", "llava_med_alignment_500k.json"),
    "instruct_10k": ("instruct", "llava_med_instruct_10k.json"),
    "instruct_60k": ("instruct", "llava_med_instruct_60k.json"),
    "instruct_60k_inline_mention": ("instruct", "llava_med_instruct_60k_inline_mention.json"),
}
"""Part -> owners' folder and file."""
DOMAINS = {
    "chest_xray": "xray", "mri": "mr", "histology": "pathology", "gross": "gross_pathology",
    "ct_scan": "ct",
}  # fmt: skip
"""Owners' `domain` -> ours, in the order that decides where several hold."""
WRITER = Provenance(provenance_id="owners' model", producer="model", model="GPT-4, by the owners")

_ARTICLE = re.compile(r"([0-9]+)_")


def read(root: Path, refused: RefusalLog) -> Iterator[Record]:
    """Yields one record per row, in the files' order; one row is held at a time.

    Args:
        root: Folder in the owners' layout.
        refused: Gets rows that cannot be used, with the reason.

    Raises:
        InputError: None of the files is there, or one is no JSON.
    """
    found = [
        (part, path)
        for part, (folder, name) in FILES.items()
        for path in (root / folder / name, root / name)
        if path.is_file()
    ]
    if not found:
        names = ", ".join(name for _, name in FILES.values())
        raise InputError(
            f"{root}: none of {names}; `semihvision doctor NAME` lists a source's files"
        )
    for part, path in found:
        yield from dialogue_records(
            path,
            refused,
            prefix=f"llava_med/{part}/",
            seen=DigestSet(),
            id_of=lambda row, item: text_of(row, "id") or item.replace(" ", ""),
            fields_of=partial(_fields, root, path.name, refused),
        )


def _fields(
    root: Path, file: str, refused: RefusalLog, row: dict[str, Any], item: str
) -> dict[str, Any]:
    path = text_of(row, "image")
    if not path:
        raise InputError("no image", kind="invalid_row")
    inside(root / "images", path)
    talk = conversation_of(
        row, ["figure"], item=item, file=file, refused=refused, provenance_id=WRITER.provenance_id
    )
    name = path.rpartition("/")[2]
    article = _ARTICLE.match(name)
    return {
        "source": "llava_med",
        "group_id": article[1] if article else name,
        "images": (image_of_cell(root, f"images/{path}", image_id="figure"),),
        "modality": _modality(row),
        "conversations": (talk,),
        "provenance": (WRITER,),
        "licence": licence_of(CARD),
    }


def _modality(row: dict[str, Any]) -> str:
    domain = row.get("domain")
    if domain is None:
        return ""
    if not isinstance(domain, dict):
        raise InputError("domain: expected an object of true and false", kind="invalid_row")
    return next((ours for name, ours in DOMAINS.items() if domain.get(name) is True), "")


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the layout above; see `data_modules.twins.llava_med`."""
    from data_modules.twins.llava_med import write_twin as write

    write(root, cases=cases, seed=seed)
