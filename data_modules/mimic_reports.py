"""MIMIC-CXR's free-text reports: their sections, and which of them speak for a study.

Source: the owners' code, MIT-LCP/mimic-cxr (section parser and choice of section).
"""

import re

_SECTION = re.compile(r"\n ([A-Z ()/,-]+):\s")
_HISTORY = ("indication", "history", "clinical history", "clinical information", "reason for exam")


def report_sections(report: str) -> dict[str, str]:
    """The sections of a report by their lower-case heads; the last occurrence of a head counts.

    ``last_paragraph`` is added: what follows the last empty line.
    """
    report = re.sub(r"\n[ \t]*_{5,}[ \t]*\n", "\n\n", "\n" + report.replace("\r\n", "\n"))
    heads = list(_SECTION.finditer(report))
    ends = [head.start() for head in heads[1:]] + [len(report)]
    sections = {
        head.group(1).strip().lower(): " ".join(report[head.end() : end].split())
        for head, end in zip(heads, ends, strict=True)
    }
    blocks = [block for block in re.split(r"\n\s*\n", report) if block.strip()]
    last = blocks[-1].strip() if blocks else ""
    sections["last_paragraph"] = " ".join(_SECTION.sub("\n", "\n " + last).split())
    return {name: text for name, text in sections.items() if text}


def chosen_sections(report: str) -> dict[str, str]:
    """Text kind -> text of a report, by the owners' choice of section.

    Impression and findings where there are any, else as `report` the last paragraph, else the
    comparison; and the history or indication.
    """
    sections = report_sections(report)
    kinds: tuple[str, ...] = ("impression", "findings")
    chosen = {kind: sections[kind] for kind in kinds if kind in sections}
    if not chosen:
        last = sections.get("last_paragraph") or sections.get("comparison", "")
        chosen = {"report": last} if last else {}
    history = next((sections[head] for head in _HISTORY if head in sections), "")
    if history:
        chosen["history"] = history
    return chosen
