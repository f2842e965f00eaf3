"""LLD-MMRI: liver lesions on eight MR phases with boxes and one of seven diagnoses.

Owner: LMMMEng (LLD-MMRI 2023 challenge).
URL: https://github.com/LMMMEng/LLD-MMRI2023
Licence: own agreement of the owners.
Access: signed agreement by e-mail to the owners; nothing is downloaded here.
Citation: Lou et al., "SDR-Former: A Siamese Dual-Resolution Transformer for Liver Lesion
    Classification Using 3D Multi-Phase Imaging", 2024.
Expected tree, whole volumes::

    <root>/
      images/<MR-id>/<studyUID>/<seriesUID>.nii.gz     eight volumes a patient; .nii is taken, too
      labels/Annotation.json                           {"Annotation_info": {<MR-id>: [a series]}}
      classification_dataset/labels/*.txt              optional: says which split a patient is in

or, where there is no `labels/Annotation.json`, the owners' cut-outs around the lesions::

    <root>/
      classification_dataset/images/<MR-id>[_k]/<phase>.nii.gz   k from 1 for further lesions
      classification_dataset/labels/{labels,labels_val_inaccessible}.txt

Split policy: patients in `labels.txt` are training data, those in `labels_val_inaccessible.txt`
    validation; the challenge's 316/78/104 cannot be told from these files alone. The owners' five
    folds are not taken. A patient is one group, whose lesions (`_k`) stay together.
Known (owners' repository and crop script): layout, phases, classes; `3D_box` in voxels of the
    stored array with x_max and y_max exclusive and z_max inclusive, given for every phase; some
    boxes lie beyond their volume (refused, as the owners skip them). The script of SemiHVision's
    authors reads a list `2D_box` with `slice_idx`; where both are there, it is taken, for its boxes
    fit each slice. Category -1 (`Inaccessible`) gives no label.
Not known: whether `category` is a name or a number (both are taken); the corners' names in
    `2D_box` (those of `3D_box` are expected).
A record is a patient with slices of all phases (cut-outs: one lesion); `volumes` says which slices.
Traps: blanks and "+" in file names, irregular capitals of FOCAL_NODULAR_HYPERPLASIA.
"""

from collections.abc import Iterator
from pathlib import Path

from data_modules import lld_annotation, lld_cutouts
from data_modules.volumes import MOST, Selection
from semihvision.core.card import Card
from semihvision.core.components import Component
from semihvision.core.errors import RefusalLog
from semihvision.core.record import Record

CARD = Card(
    name="lld_mmri",
    title="LLD-MMRI",
    owner="LLD-MMRI 2023 challenge (LMMMEng)",
    url="https://github.com/LMMMEng/LLD-MMRI2023",
    licence="LLD-MMRI data agreement",
    licence_url="https://github.com/LMMMEng/LLD-MMRI2023",
    access="Signed agreement by e-mail to the owners.",
    citation="Lou et al., SDR-Former, 2024; LLD-MMRI 2023 challenge",
    owners_caption_flag=True,
    human_text=False,
    api_conditions=("agreement_allows",),
    api_clause="The data are lent under an agreement that you signed; it decides about others.",
    redistribution="no",
    commercial_use="no",
    components=(
        Component(name="annotation", patterns=("labels/Annotation.json",), is_required=False),
        Component(
            name="patients",
            patterns=("images/*",),
            unit="folders",
            published=498,
            origin="owners",
            is_required=False,
        ),
        Component(
            name="volumes",
            patterns=("images/*/*/*.nii*",),
            published=3_984,
            origin="owners",
            is_required=False,
        ),
        Component(
            name="cut-out volumes",
            patterns=("classification_dataset/images/*/*.nii*",),
            is_required=False,
        ),
        Component(
            name="labels and splits",
            patterns=("classification_dataset/labels/*.txt",),
            is_required=False,
        ),
    ),
    notes="The agreement's text was not read; the strict reading here is inferred.",
)


def read(
    root: Path, refused: RefusalLog, *, slices: str = "marked", most: int = MOST
) -> Iterator[Record]:
    """Yields one record per patient, or per cut-out lesion.

    An unusable series is refused by itself; the patient goes on with the others.

    Args:
        root: Folder in one of the owners' layouts.
        refused: Gets what cannot be used, with the reason.
        slices: ``marked`` (slices with a box) or ``largest`` (the one with the largest box).
        most: Slices of one volume at most.

    Raises:
        InputError: Neither layout is there, or its file of annotations is unreadable.
    """
    selection = Selection(slices, most).checked()
    if (root / lld_annotation.FILE).is_file():
        yield from lld_annotation.read(root, selection, CARD, refused)
    else:
        yield from lld_cutouts.read(root, selection, CARD, refused)


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes a drawn twin in the first layout above; see `data_modules.twins.lld_mmri`."""
    from data_modules.twins.lld_mmri import write_twin as write

    write(root, cases=cases, seed=seed)
