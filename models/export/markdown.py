"""Tables and links in Markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells may hold anything that fits into a line."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def link(text: str, url: str) -> str:
    """A link; the bare text where there is nothing to link to."""
    return f"[{text}]({url})" if url else text


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
