"""The guidelines corpus: a JSONL file in meditron's format, cut into passages for retrieval.

One JSON object a line with `source`, `title`, `clean_text` (Markdown), `raw_text`, `url`,
`overview`; `id` may be absent (formats.md, section 3). Licences differ by source, so source and
URL stay with every passage.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from semihvision.core.errors import InputError, RefusalLog
from semihvision.core.reasons import in_words, json_kind

MAX_PASSAGE_CHARS = 1200
"""About 250 words: one recommendation with its context, short enough to quote several."""

_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Passage(NamedTuple):
    """One piece of a guideline.

    Attributes:
        ref: ``<source>/<id>#<number of the passage in its document, from 1>``, where the id is
            the owner's, or the start of the SHA-256 of title and text.
        document: The same without ``#...``.
        source: Publisher, in the collection's spelling.
        title: Title of the document and the headings above the passage.
        text: The passage, without its headings.
        url: Where the document stands; empty if not given.
    """

    ref: str
    document: str
    source: str
    title: str
    text: str
    url: str


class Section(NamedTuple):
    """Text under one heading of a Markdown document."""

    headings: tuple[str, ...]
    text: str


def demo_guidelines() -> Path:
    """The demo file that comes with the package: own texts, not medical advice."""
    return Path(str(files("semihvision.retrieval") / "assets" / "demo_guidelines.jsonl"))


def is_shipped(path: Path) -> bool:
    """Whether a file is the demo file, byte for byte; what its lines say of themselves is no proof.

    Raises:
        InputError: There is no such file.
    """
    return _existing(path).read_bytes() == demo_guidelines().read_bytes()


def read_guidelines(path: Path, refused: RefusalLog) -> Iterator[Passage]:
    """Yields the passages of a guidelines file in order.

    Args:
        path: JSONL in meditron's format.
        refused: Takes broken lines, lines without source or text, and repeated documents.

    Raises:
        InputError: There is no such file.
    """
    seen: set[str] = set()
    with _existing(path).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"line {number}"
            row, problem = _parse(line)
            if row is None:
                refused.add(where, reason=problem, kind="broken_guideline", file=str(path))
                continue
            document = _document_id(row)
            if document in seen:
                reason = f"document {document} stands in the file twice"
                refused.add(where, reason=reason, kind="repeated_guideline", file=str(path))
                continue
            seen.add(document)
            passages = _passages(row, document)
            if not passages:
                reason = "clean_text holds headings only"
                refused.add(where, reason=reason, kind="broken_guideline", file=str(path))
            yield from passages


def cut(markdown: str, max_chars: int = MAX_PASSAGE_CHARS) -> list[Section]:
    """Cuts Markdown at its headings, and long sections at paragraphs, sentences, then words.

    No word of the text is lost or moved; a single word longer than the limit is cut. A heading
    without text below it gives no section.

    Args:
        markdown: The document.
        max_chars: Longest text of a section, in characters, >= 1.
    """
    return [
        Section(section.headings, piece)
        for section in _sections(markdown)
        for piece in _pieces(section.text, max_chars)
    ]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such guidelines file; expected JSONL in meditron's format")
    return path


def _parse(line: bytes) -> tuple[dict[str, str] | None, str]:
    """The row with its texts as strings, or None and what is wrong with it."""
    try:
        values: Any = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, f"not a JSON line ({in_words(error)})"
    if not isinstance(values, dict):
        return None, f"{json_kind(values)} where an object was expected"
    row = {}
    for key in ("id", "source", "title", "clean_text", "url"):
        value = values.get(key)
        if isinstance(value, int) and key == "id":
            value = str(value)
        if value is not None and not isinstance(value, str):
            return None, f"{key} is {json_kind(value)}, expected a text"
        row[key] = (value or "").strip()
    missing = [key for key in ("source", "clean_text") if not row[key]]
    if missing:
        return None, f"{' and '.join(missing)} missing or empty"
    return row, ""


def _document_id(row: dict[str, str]) -> str:
    content = f"{row['title']}\n{row['clean_text']}".encode()
    return f"{row['source']}/{row['id'] or hashlib.sha256(content).hexdigest()[:12]}"


def _passages(row: dict[str, str], document: str) -> list[Passage]:
    passages: list[Passage] = []
    for section in cut(row["clean_text"]):
        above = [heading for heading in section.headings if heading != row["title"]]
        title = " > ".join(part for part in (row["title"], *above) if part)
        ref = f"{document}#{len(passages) + 1}"
        passages.append(Passage(ref, document, row["source"], title, section.text, row["url"]))
    return passages


def _sections(markdown: str) -> list[Section]:
    """Splits at headings; each section knows the headings above it."""
    above: list[tuple[int, str]] = []
    sections = []
    lines: list[str] = []

    def close() -> None:
        text = "\n".join(lines).strip()
        if text:
            sections.append(Section(tuple(name for _, name in above), text))
        lines.clear()

    for line in markdown.splitlines():
        heading = _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        close()
        level = len(line) - len(line.lstrip("#"))
        above = [*(entry for entry in above if entry[0] < level), (level, heading.group(1))]
    close()
    return sections


def _pieces(text: str, max_chars: int) -> list[str]:
    """Packs paragraphs into pieces of at most `max_chars`, cutting those that do not fit."""
    pieces: list[str] = []
    for part, joint in _parts(text, max_chars):
        if pieces and len(pieces[-1]) + len(joint) + len(part) <= max_chars:
            pieces[-1] += joint + part
        else:
            pieces.append(part)
    return pieces


def _parts(text: str, max_chars: int) -> Iterator[tuple[str, str]]:
    """Parts that fit, each with what joins it to the part before it."""
    for paragraph in re.split(r"\n\s*\n", text):
        joint = "\n\n"
        for part in _fitting(paragraph.strip(), max_chars):
            yield part, joint
            joint = " "


def _fitting(paragraph: str, max_chars: int) -> list[str]:
    """The paragraph if it fits, else its sentences, and the words of those that do not fit."""
    if len(paragraph) <= max_chars:
        return [paragraph] if paragraph else []
    parts = []
    for sentence in _SENTENCE_END.split(paragraph):
        words = [sentence] if len(sentence) <= max_chars else sentence.split()
        for word in words:
            parts += [word[start : start + max_chars] for start in range(0, len(word), max_chars)]
    return parts
