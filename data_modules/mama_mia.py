"""MAMA-MIA: breast DCE-MRI of four TCIA collections with expert tumour segmentations.

Owner: Garrucho et al., University of Barcelona (LidiaGarrucho/MAMA-MIA).
URL: https://github.com/LidiaGarrucho/MAMA-MIA
Licence: CC BY-NC-SA 4.0.
Access: open download from Synapse after registration; nothing is downloaded here.
Citation: Garrucho et al., "A large-scale multicenter breast cancer DCE-MRI benchmark dataset with
    expert segmentations", Scientific Data 12 (2025) 453.
Expected tree::

    <root>/
      images/<ID>/<ID>_000<phase>.nii.gz         phase 0 = before contrast
      segmentations/expert/<ID>.nii.gz
      patient_info_files/<ID>.json
      clinical_and_imaging_info.xlsx             sheet dataset_info, 1,506 rows

Split policy: by patient id; the owners' split where their table names one.
Known (owners' repository and notebook): layout and 48 of the table's 49 column names. The number
    of phases differs from case to case.
"""

from semihvision.core.card import Card

CARD = Card(
    name="mama_mia",
    title="MAMA-MIA",
    owner="Garrucho et al., University of Barcelona",
    url="https://github.com/LidiaGarrucho/MAMA-MIA",
    licence="CC-BY-NC-SA-4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    access="Open download after registration at the owners' repository.",
    citation="Garrucho et al., MAMA-MIA, Scientific Data 12 (2025) 453",
    owners_caption_flag=True,
    human_text=False,
    api_clause="CC BY-NC-SA sets no rule for hosted models; de-identified patients' images.",
    redistribution="yes",
    commercial_use="no",
    share_alike=True,
    notes=(
        "The four TCIA collections inside have terms of their own, which were not read. That "
        "access needs a registration is general knowledge."
    ),
)
