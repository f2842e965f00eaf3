"""PMC-Instruct: the text-only instructions of PMC-LLaMA.

Owner: Wu et al. (Hugging Face axiong/pmc_llama_instructions, GitHub chaoyi-wu/PMC-LLaMA).
URL: https://huggingface.co/datasets/axiong/pmc_llama_instructions
Licence: OpenRAIL.
Access: open download; nothing is downloaded here.
Citation: Wu et al., "PMC-LLaMA: toward building open-source language models for medicine", JAMIA
    31 (2024) 1833.
Expected tree::

    <root>/
      release.json        about 700 MB, one array

Split policy: the owners give no split; one row is one group.
Known (owners' repository): the prompt template uses `instruction` and `input`. Not verified:
    further keys (`source`, `id`), the key of the answer.
"""

from semihvision.core.card import Card

CARD = Card(
    name="pmc_instruct",
    title="PMC-LLaMA instructions",
    owner="Wu et al., Shanghai Jiao Tong University",
    url="https://huggingface.co/datasets/axiong/pmc_llama_instructions",
    licence="OpenRAIL",
    licence_url="https://huggingface.co/datasets/axiong/pmc_llama_instructions",
    access="Open download.",
    citation="Wu et al., PMC-LLaMA, JAMIA 31 (2024) 1833",
    owners_caption_flag=True,
    human_text=True,
    api_clause="OpenRAIL restricts uses, not recipients.",
    redistribution="conditional",
    commercial_use="conditional",
    notes="Which OpenRAIL text applies, and the licences of the collected sets, are not known.",
)
