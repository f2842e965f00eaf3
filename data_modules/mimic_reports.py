"""MIMIC-CXR's free-text reports: their sections, and which of them speak for a study.

Source: the owners' code, MIT-LCP/mimic-cxr, `txt/section_parser.py` and `create_section_files.py`
(read in copies of it). Deviations: a blank line need not hold a blank; a line of underscores, which
sets an addendum off, is dropped; heads are found in the first line, too; a report in which the
owners find nothing gives its last section instead of an empty text; the owners' list of a hundred
single reports with cut-out places is not used, for it could not be checked.
"""

import re

_SECTION = re.compile(r"\n ([A-Z ()/,-]+):\s")
_RULE = re.compile(r"\n[ \t]*_{5,}[ \t]*(?=\n)")
_BLANK = re.compile(r"\n[ \t]*\n")
_MAIN = ("impression", "findings", "history", "comparison", "addendum")
"""A head that holds one of these words is that section; the first one counts."""
_OTHER_HEADS = {
    "impression": (
        "conclusion", "conclusions", "concusion", "summary", "impresssion", "impressio",
        "impresson", "imprression", "imoression", "impressoin", "imprssion", "impresion",
        "imperssion", "mpression", "impession",
    ),
    "findings": (
        "finding", "findins", "findindgs", "findgings", "findngs", "findnings", "finidngs",
    ),
    "history": ("clinical information", "pfi"),
    "comparison": (
        "reference exam", "comparision", "comparisions", "comparsion", "comparrison",
    ),
    "indication": (
        "reason for examination", "reason for exam", "clinical indication", "idication",
    ),
}  # fmt: skip
"""Section -> further heads it has, with the misspellings that the owners know."""
_SECTION_OF = {head: name for name, heads in _OTHER_HEADS.items() for head in heads}
_VIEWS = re.compile(
    "chest|portable|pa and lat|lateral and pa|ap and lateral|lateral and ap|frontal and|two views"
    "|frontal view|pa view|ap view|one view|lateral view|bone window|frontal upright"
    "|frontal semi-upright|ribs"
)
"""A head that names a view opens what was found on it."""


def report_sections(report: str) -> dict[str, str]:
    """The sections of a report by the owners' names for them; the last one of a name counts.

    Empty impressions and findings do not count. Where there is neither, ``last_paragraph`` is all
    that follows the first paragraph of the last section, which is cut there.
    """
    parts = _parts("\n" + report.replace("\r\n", "\n"))
    if not {"impression", "findings"} & {name for name, _ in parts}:
        name, text = parts.pop()
        first, *others = _BLANK.split(text)
        parts += [(name, first), ("last_paragraph", "\n".join(others))]
    sections = {name: " ".join(text.split()) for name, text in parts}
    return {name: text for name, text in sections.items() if text}


def chosen_sections(report: str) -> dict[str, str]:
    """Text kind -> text of a report, in the owners' order of preference.

    Impression and findings where there are any, else as `report` the last paragraph, else the
    comparison, else the last section; and the indication or history.
    """
    sections = report_sections(report)
    kinds: tuple[str, ...] = ("impression", "findings")
    chosen = {kind: sections[kind] for kind in kinds if kind in sections}
    if not chosen and sections:
        last = list(sections.values())[-1]
        chosen["report"] = sections.get("last_paragraph") or sections.get("comparison") or last
    history = sections.get("indication") or sections.get("history")
    if history and history not in chosen.values():
        chosen["history"] = history
    return chosen


def _parts(report: str) -> list[tuple[str, str]]:
    """Name and text of every section, in their order; at least one."""
    text = _RULE.sub("", report)
    head = _SECTION.search(text)
    if head is None:
        return [("full report", text)]
    parts = [("preamble", text[: head.start()])]
    while head is not None:
        line_end = text.find("\n", head.end())
        following = _SECTION.search(text, line_end if line_end >= 0 else head.end())
        end = following.start() if following else len(text)
        parts.append((_name(head.group(1)), text[head.end() : end]))
        head = following
    mute = {"impression", "findings"}
    return [(name, said) for name, said in parts if name not in mute or said.strip()]


def _name(head: str) -> str:
    """The owners' name of a section with that head."""
    head = head.lower().strip()
    if head in _SECTION_OF:
        return _SECTION_OF[head]
    main = next((name for name in _MAIN if name in head), None)
    return main or ("findings" if _VIEWS.search(head) else head)
