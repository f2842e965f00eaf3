"""LLD-MMRI: liver lesions on eight MR phases with boxes and one of seven diagnoses.

Owner: LMMMEng (LLD-MMRI 2023 challenge).
URL: https://github.com/LMMMEng/LLD-MMRI2023
Licence: own agreement of the owners.
Access: signed agreement by e-mail to the owners; nothing is downloaded here.
Citation: Lou et al., "SDR-Former: A Siamese Dual-Resolution Transformer for Liver Lesion
    Classification Using 3D Multi-Phase Imaging", 2024.
Expected tree::

    <root>/
      images/<MR-id>/<studyUID>/<seriesUID>.nii.gz     eight volumes a patient
      labels/Annotation.json
    or the classification form
      classification_dataset/images/<MR-id>[_k]/<phase>.nii.gz    phase: T2WI, DWI, In Phase,
                                                 Out Phase, C-pre, C+A, C+V, C+Delay
      classification_dataset/labels/{labels,labels_val_inaccessible,train_fold<n>,val_fold<n>}.txt

Split policy: the owners' 316/78/104; our own splits by patient, since a patient may have several
    lesions (`_k`).
Known (owners' repository): layout, classes, `3D_box`; the authors' script of SemiHVision reads
    `2D_box` with `slice_idx`, so both are accepted. Traps: blanks and "+" in file names, irregular
    capitals of FOCAL_NODULAR_HYPERPLASIA.
"""

from semihvision.core.card import Card

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
    notes="The agreement's text was not read; the strict reading here is inferred.",
)
