"""VQA-v2 answer normalisation, quirks included.

Published VQA numbers depend on these rules to the second decimal, so they are reproduced, not
improved. `normalise_vqa_v2` documents each of them.
"""

import re

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_STRIPPABLE_PERIOD = re.compile(r"\.(?!\d)")
_MAX_PERIODS = 32
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER_WORDS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}

# The official table maps each of these words, with exactly one apostrophe left out, to the word:
# "dont" -> "don't", and both "couldnt've" and "couldn'tve" -> "couldn't've".
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
mightn't've must've mustn't needn't not've o'clock 'ow's'at oughtn't shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's
won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _contraction_table() -> dict[str, str]:
    table = {
        word[:position] + word[position + 1 :]: word
        for word in _CONTRACTED.split()
        for position, letter in enumerate(word)
        if letter == "'"
    }
    # A slip of the official table: this one entry stands the wrong way round.
    table["somebody'd"] = "somebodyd"
    return table


_CONTRACTIONS = _contraction_table()


def _replace_punctuation(text: str) -> str:
    joins_digits = _DIGIT_COMMA_DIGIT.search(text) is not None
    replaced = text
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        replaced = replaced.replace(mark, "" if beside_blank or joins_digits else " ")
    return _STRIPPABLE_PERIOD.sub("", replaced, count=_MAX_PERIODS)


def normalise_vqa_v2(text: str) -> str:
    """Brings an answer into the form in which VQA-v2 scorers compare it.

    In this order: punctuation, periods, lower case and number words, articles, contractions.

    Quirks, all kept:
        - One punctuation mark beside a blank *anywhere* deletes every occurrence of that mark;
          otherwise each becomes a blank: "x-ray" -> "x ray", but "x-ray - chest" -> "xray chest".
        - One comma between digits anywhere deletes *all* marks of *every* kind.
        - A period is deleted unless a digit follows. A digit before it does not save it ("2." ->
          "2", "3.4 cm" stays): the look-behind meant for that is misspelt and always succeeds.
        - At most 32 periods are deleted: ``re.UNICODE`` (= 32) is passed as the count.
        - "none" becomes "0", so it equals "zero"; number words end at "ten".
        - Contractions with a capital in the official table ("Im", "Ive", "Id've") can never match,
          because the text is lower-case by then; they are left out here.
        - The official number map grows by ``setdefault`` with every word it sees. Each word is
          mapped to itself, which changes no result; it is not reproduced.

    The result contains none of the punctuation marks, and normalising it again changes nothing
    as long as the text holds at most 32 periods.

    Args:
        text: An answer, gold or predicted.

    Returns:
        Words separated by single blanks; empty if nothing is left ("The" -> "").

    Source:
        longle0702/med-v2qa@727f26a ``vqaTools/vqaEval.py`` (``processPunctuation`` and
        ``processDigitArticle``); the same rules in microsoft/LLaVA-Med v1.0.0
        ``llava/eval/eval_metrics/glossary.py`` ``normalize_word``.
    """
    words = [_NUMBER_WORDS.get(word, word) for word in _replace_punctuation(text).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
