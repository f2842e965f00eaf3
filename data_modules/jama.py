"""JAMA Clinical Challenge: case vignettes with four options and JAMA's own discussion.

Owner: American Medical Association (JAMA Network).
URL: https://jamanetwork.com (series "JAMA Clinical Challenge"); list of links and answers:
    https://github.com/HanjieChen/ChallengeClinicalQA
Licence: site agreement of the publisher; the text may not be republished. The owners of the list
    publish links and answer letters, never text, and so do we: Records of this source stay with
    whoever holds the right to read the cases.
Access: own retrieval by a person with the right to it; nothing is downloaded here.
Citation: Chen et al., "Benchmarking Large Language Models on Answering and Explaining Challenging
    Medical Questions", 2024; each case by its own JAMA reference.
Expected tree::

    <root>/
      jama_links.json              id, link, answer_idx, answer
      jama_raw.csv | jama_raw.json link, question, opa, opb, opc, opd, diagnosis, answer_idx,
                                   answer, explanation, field

Split policy: a benchmark, used for testing only; one case is one group.
Known (owners' documentation): the two field lists above. Not known: number of cases, dates and
    split of the SemiHVision paper; whether `answer_idx` is always a letter.
"""

from semihvision.core.card import Card

CARD = Card(
    name="jama",
    title="JAMA Clinical Challenge",
    owner="American Medical Association (JAMA Network)",
    url="https://github.com/HanjieChen/ChallengeClinicalQA",
    licence="JAMA Network site agreement",
    licence_url="https://jamanetwork.com/pages/terms-of-use",
    access="Your own retrieval from jamanetwork.com under your own licence; nothing is downloaded.",
    citation=(
        "Chen et al., Benchmarking Large Language Models on Answering and Explaining Challenging "
        "Medical Questions, 2024 (arXiv 2402.18060); each case by its JAMA reference"
    ),
    owners_caption_flag=False,
    human_text=True,
    api_conditions=("owner_permission",),
    api_clause="The site agreement does not let readers republish the text or pass it on.",
    redistribution="no",
    commercial_use="no",
    notes=(
        "That a hosted model counts as passing on is our reading of the site agreement. Images "
        "are not part of the owners' list. Number of cases, dates and split: not known."
    ),
)
