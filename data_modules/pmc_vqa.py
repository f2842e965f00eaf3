"""PMC-VQA: multiple-choice questions about figures of open-access articles.

Owner: Zhang et al. (Hugging Face xmcmic/PMC-VQA, GitHub xiaoman-zhang/PMC-VQA).
URL: https://huggingface.co/datasets/xmcmic/PMC-VQA
Licence: CC BY-SA.
Access: open download; nothing is downloaded here.
Citation: Zhang et al., "PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering",
    2023 (arXiv 2305.10415).
Expected tree::

    <root>/
      train.csv test.csv test_clean.csv images.zip | images/
      train_2.csv test_2.csv images_2.zip | images_2/      (second generation)

Split policy: the owners' files; own splits by figure.
Known (owners' card): Figure_path, Question, Answer, Choice A .. Choice D, Answer_label. Trap: the
    column `Anwser` in one of the owners' two loaders; both spellings are accepted. Choices begin
    with "A:" and irregular blanks.
"""

from semihvision.core.card import Card

CARD = Card(
    name="pmc_vqa",
    title="PMC-VQA",
    owner="Zhang et al., Shanghai Jiao Tong University",
    url="https://huggingface.co/datasets/xmcmic/PMC-VQA",
    licence="CC-BY-SA",
    licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
    access="Open download.",
    citation="Zhang et al., PMC-VQA, 2023 (arXiv 2305.10415)",
    owners_caption_flag=True,
    human_text=False,
    api_clause="CC BY-SA sets no rule for hosted models; figures keep their articles' licences.",
    redistribution="yes",
    commercial_use="conditional",
    share_alike=True,
    notes=(
        "The version of CC BY-SA is not known. Figures come from PMC articles whose own licences "
        "differ. Its questions were written by a language model from the articles' captions."
    ),
)
