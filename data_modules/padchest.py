"""PadChest: chest X-rays with Spanish reports and labels from Hospital San Juan, Alicante.

Owner: Medical Imaging Databank of the Valencia Region (BIMCV).
URL: https://bimcv.cipf.es/bimcv-projects/padchest/
Licence: BIMCV research use agreement.
Access: request form at the URL, after accepting the agreement; nothing is downloaded here.
Citation: Bustos et al., "PadChest: A large chest x-ray image dataset with multi-label annotated
    reports", Medical Image Analysis 66 (2020) 101797.
Expected tree::

    <root>/
      PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv   (columns: see the reader's tests)
      <ImageDir>/<ImageID>                                   (unpacked image archives)

Split policy: the owner gives no split; ours never cut through a PatientID.
Known (owners' README, third-party loader): the columns; `Report` is Spanish; `Labels` and
    `Localizations` are Python list strings with stray blanks, some are NaN or `['']`; some image
    files are corrupt. Not known: which of two column orders and spellings (`ExposureTime_DICOM`,
    `LabelCUIS`) the release uses; that images are 16-bit PNG is general knowledge.
"""

from semihvision.core.card import Card

CARD = Card(
    name="padchest",
    title="PadChest",
    owner="Medical Imaging Databank of the Valencia Region (BIMCV)",
    url="https://bimcv.cipf.es/bimcv-projects/padchest/",
    licence="BIMCV research use agreement",
    licence_url="https://bimcv.cipf.es/bimcv-projects/padchest/padchest-dataset-research-use-agreement/",
    access="Request form after accepting the agreement.",
    citation="Bustos et al., PadChest, Medical Image Analysis 66 (2020) 101797",
    owners_caption_flag=True,
    human_text=True,
    api_conditions=("agreement_allows",),
    api_clause="The data are lent under an agreement that you signed; it decides about others.",
    redistribution="no",
    commercial_use="no",
    notes=(
        "What the agreement says about passing data on, commercial use and hosted models was not "
        "read; the strict reading here is inferred from its being a research use agreement."
    ),
)
