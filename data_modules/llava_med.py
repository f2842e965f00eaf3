"""LLaVA-Med: alignment and instruction conversations made from PMC figures and their captions.

Owner: Microsoft (microsoft/LLaVA-Med).
URL: https://github.com/microsoft/LLaVA-Med
Licence: data CC BY-NC 4.0.
Access: open download of the JSON files; original image links are often dead; nothing is
    downloaded here.
Citation: Li et al., "LLaVA-Med: Training a Large Language-and-Vision Assistant for Biomedicine in
    One Day", NeurIPS 2023.
Expected tree::

    <root>/
      <alignment or instruct>.json      LLaVA form: id, image, conversations
      images/

Split policy: none; own splits by article.
Known (owners' repository): the form; some files misspell `conversatons`. The link to this source
    in the SemiHVision authors' table points to LLD-MMRI by mistake.
"""

from semihvision.core.card import Card

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
    notes=(
        "Its conversations were written by GPT-4 from captions, so the provider's terms apply "
        "too. The licence of its 50-image chat benchmark now forbids distributing it."
    ),
)
