"""Open clinical guidelines, as collected for Meditron: context for annotation, no training data.

Owner: the publishers (CCO, CDC, CMA, ICRC, NICE, SPOR, WHO, WikiDoc); collected by EPFL.
URL: https://huggingface.co/datasets/epfl-llm/guidelines
Licence: differs by publisher; source and address stay with every passage.
Access: download from Hugging Face after accepting the terms there; nothing is downloaded here.
Citation: Chen et al., "MEDITRON-70B: Scaling Medical Pretraining for Large Language Models", 2023.
Expected tree::

    <root>/
      open_guidelines.jsonl     source, title, clean_text, raw_text, url, overview

Split policy: none; a guideline is context and no example.
Known (owners' code, epfLLM/meditron): the keys. `semihvision.retrieval.guidelines` reads the file.
"""

from semihvision.core.card import Card

CARD = Card(
    name="open_guidelines",
    title="Open clinical guidelines (Meditron)",
    owner="the publishers; collected by EPFL LLM Team",
    url="https://huggingface.co/datasets/epfl-llm/guidelines",
    licence="differs by publisher",
    access="Download from Hugging Face; nothing is downloaded here.",
    citation="Chen et al., MEDITRON-70B, 2023 (arXiv 2311.16079)",
    human_text=True,
    api_clause="The publishers' terms differ; some allow personal use only.",
    redistribution="conditional",
    commercial_use="conditional",
    notes="Terms of the single publishers were not checked one by one (not known).",
)
