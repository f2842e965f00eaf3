"""Quilt-1M: histopathology images with texts from teaching videos and other public sources.

Owner: Ikezogwo et al., University of Washington (wisdomikezogwo/quilt1m).
URL: https://quilt1m.github.io
Licence: the owners' terms of use, by request; redistribution is forbidden.
Access: request at the owners' page; nothing is downloaded here.
Citation: Ikezogwo et al., "Quilt-1M: One Million Image-Text Pairs for Histopathology", NeurIPS
    2023.
Expected tree::

    <root>/
      quilt_1M_lookup.csv    unnamed index, caption, image_path, subset, split, pathology,
                             roi_text, noisy_text, corrected_text, med_umls_ids, magnification,
                             height, width [, not_histology, single_wsi]
      quilt_recon.csv quilt_data.csv
      <images named by image_path>

Split policy: the owners' column `split`; own splits by video or article.
Known (owners' README, third-party copy): the columns; `pathology` is a list string, `med_umls_ids`
    a list of lists of {entity, concept_id, confidence}. Not stated by the owners: a licence.
"""

from semihvision.core.card import Card

CARD = Card(
    name="quilt_1m",
    title="Quilt-1M",
    owner="Ikezogwo et al., University of Washington",
    url="https://quilt1m.github.io",
    licence="owners' terms of use (gated)",
    licence_url="https://github.com/wisdomikezogwo/quilt1m",
    access="Request at the owners' page.",
    citation="Ikezogwo et al., Quilt-1M, NeurIPS 2023",
    owners_caption_flag=True,
    human_text=True,
    api_conditions=("agreement_allows",),
    api_clause="Access is granted by request and redistribution is forbidden.",
    redistribution="no",
    commercial_use="not stated",
    notes="The owners state no licence; that a hosted model needs their terms' leave is inferred.",
)
