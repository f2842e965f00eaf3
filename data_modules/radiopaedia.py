"""Radiopaedia: clinical cases with images and descriptions by their contributors.

Owner: Radiopaedia Australia Pty Ltd and the contributors.
URL: https://radiopaedia.org
Licence: site agreement (terms of use); machine use needs a licence from the owners.
Access: there is no public dump; the reader takes a table that the user may hold by agreement with
    the owners, and redistributes nothing.
Citation: each case by its own Radiopaedia reference (rID).
Expected tree::

    <root>/
      <a user's table>: image_path, question, answer    (form of RadFM's table)
      <images named by image_path>

Split policy: none known; own splits by case.
Known (chaoyi-wu/RadFM): the two tables' columns. Not known: fields of any scrape; the authors'
    released script for this source is a stub.
"""

from semihvision.core.card import Card

CARD = Card(
    name="radiopaedia",
    title="Radiopaedia",
    owner="Radiopaedia Australia Pty Ltd and its contributors",
    url="https://radiopaedia.org",
    licence="Radiopaedia site agreement",
    licence_url="https://radiopaedia.org/terms",
    access="By agreement with the owners; no public dump exists.",
    citation="Each case by its own reference (rID)",
    owners_caption_flag=False,
    human_text=True,
    api_conditions=("owner_permission",),
    api_clause="The site agreement does not give its texts and images to third parties.",
    redistribution="no",
    commercial_use="no",
    notes="The clause on hosted models is our reading of a site agreement that was not quoted.",
)
