"""The page of `semihvision records browse`: static HTML that loads nothing and sends nothing.

Whatever comes out of a record is escaped; and should that ever fail, the page's content security
policy lets no script run but the one written here, and no address be asked.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from semihvision.core.record import ImageRef, Record, Region
from semihvision.core.rights import rights_of
from semihvision.core.synthetic import SYNTHETIC

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 1rem; }
header { position: sticky; top: 0; background: Canvas; padding: .5rem 0; z-index: 1;
  border-bottom: 1px solid var(--line); }
h1 { font-size: 1.1rem; margin: 0 0 .4rem; }
label { margin-right: 1rem; }
article { border: 1px solid var(--line); border-radius: 6px; margin: 1rem 0; padding: .8rem; }
article h2 { font-size: 1rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
.about, figcaption { color: GrayText; font-size: .85em; }
.images { display: flex; flex-wrap: wrap; gap: .6rem; margin: .6rem 0; }
figure { margin: 0; width: min-content; min-width: 10rem; }
svg { background: #000; display: block; }
svg rect { fill: none; stroke: #ffd400; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
svg line { stroke: #00d5ff; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.gap { border: 1px dashed var(--line); color: GrayText; display: grid; min-height: 6rem;
  padding: .4rem; place-items: center; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .8rem; margin: .4rem 0 0; }
dt { color: GrayText; } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.warning { background: #d9a40033; border-left: 4px solid #d9a400; margin: .8rem 0; padding: .6rem; }
"""
_SCRIPT = """
const chosen = document.querySelectorAll("select");
function show() {
  let number = 0;
  for (const one of document.querySelectorAll("article")) {
    const hidden = [...chosen].some(c => c.value !== "*" && one.dataset[c.name] !== c.value);
    one.hidden = hidden;
    number += !hidden;
  }
  document.querySelector("output").textContent = number;
}
for (const kind of chosen) {
  const values = [...document.querySelectorAll("article")].map(one => one.dataset[kind.name]);
  for (const value of [...new Set(values)].sort())
    kind.add(new Option(value || "not stated", value));
  kind.addEventListener("change", show);
}
show();
"""


class Shown(NamedTuple):
    """A record and what is seen of it.

    Attributes:
        record: The record.
        thumbnails: JPEG by image id; images that cannot be shown are not there.
    """

    record: Record
    thumbnails: dict[str, bytes]


def notes(records: Iterable[Record], total: int) -> list[str]:
    """What the page has to say on top.

    Args:
        records: Those that are shown.
        total: Records in the file.
    """
    number, restricted = 0, set[str]()
    for record in records:
        number += 1
        rights = rights_of(record)
        if rights.redistribution != "yes" or not rights.exports_text:
            restricted.update(rights.sources)
    said = []
    if number < total:
        said.append(f"The first {number:,} of {total:,} records are shown; --limit asks for more.")
    if restricted:
        said.append(
            f"Here are data whose terms restrict passing them on ({', '.join(sorted(restricted))})."
            " Keep this page where the data themselves may be kept, and show it to nobody who may "
            "not see them. What is allowed: semihvision records stats --licences"
        )
    return said


def page(title: str, notes: Iterable[str], records: Iterable[Shown], size: int) -> Iterator[str]:
    """The page's text, piece by piece, so that no more than one record is held.

    Args:
        title: Name of the file.
        notes: What is said on top.
        records: What is shown.
        size: Longer side of a picture in pixels.
    """
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<header><h1>{escape(title)}</h1>"
        '<label>source <select name="source"><option value="*">all</option></select></label>'
        '<label>modality <select name="modality"><option value="*">all</option></select></label>'
        "<output></output> shown; for looking, not for editing.</header>\n"
    )
    yield from (f'<p class="warning">{escape(note)}</p>\n' for note in notes)
    yield from (_article(shown, size) for shown in records)
    yield f"<script>{_SCRIPT}</script></body></html>\n"


def _article(shown: Shown, size: int) -> str:
    record = shown.record
    about = (
        record.source,
        record.modality or "modality not stated",
        record.body_part,
        record.split,
        record.group_id,
        record.licence.name,
        SYNTHETIC if record.is_synthetic else "",
    )
    images = "".join(
        _figure(image, record.regions, shown.thumbnails.get(image.image_id), size)
        for image in record.images
    )
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _rows(record)
    )
    return (
        f'<article data-source="{escape(record.source)}" data-modality="{escape(record.modality)}">'
        f"<h2>{escape(record.record_id)}</h2>"
        f'<div class="about">{escape(" · ".join(filter(None, about)))}</div>'
        f'<div class="images">{images}</div><dl>{rows}</dl></article>\n'
    )


def _figure(
    image: ImageRef, regions: tuple[Region, ...], thumbnail: bytes | None, size: int
) -> str:
    """A thumbnail under boxes and lines in the image's own pixels."""
    caption = " · ".join(filter(None, (image.image_id, image.view)))
    if thumbnail is None:
        inner = '<div class="gap">not shown</div>'
    else:
        own = [region for region in regions if region.image_id == image.image_id]
        data = base64.b64encode(thumbnail).decode()
        scale = size / max(image.width, image.height)
        inner = (
            f'<svg viewBox="0 0 {image.width} {image.height}" width="{image.width * scale:.0f}" '
            f'height="{image.height * scale:.0f}" role="img">'
            f'<image href="data:image/jpeg;base64,{data}" width="{image.width}" '
            f'height="{image.height}"/>{"".join(map(_marks, own))}</svg>'
        )
    return f"<figure>{inner}<figcaption>{escape(caption)}</figcaption></figure>"


def _marks(region: Region) -> str:
    marks = ""
    if region.box_xyxy is not None:
        x0, y0, x1, y1 = region.box_xyxy
        marks = f'<rect x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"/>'
    for x0, y0, x1, y1 in region.lines_xyxy:
        marks += f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}"/>'
    return f"<g><title>{escape(region.label or region.region_id)}</title>{marks}</g>"


def _rows(record: Record) -> Iterator[tuple[str, str]]:
    """Everything that can be read: labels, and what stands after all edits and rejections."""
    producers = {entry.provenance_id: entry.producer for entry in record.provenance}
    for region in record.regions:
        if region.box_xyxy is None:
            yield "region", f"{region.label or region.region_id} (mask {region.mask_path})"
    if record.labels:
        yield "labels", "; ".join(f"{label.name} = {label.value}" for label in record.labels)
    for text in record.current(record.texts):
        yield f"{text.kind} ({producers[text.provenance_id]})", text.text
    for asked in record.current(record.qa):
        options = "".join(f"\n- {option}" for option in asked.options)
        yield f"question ({producers[asked.provenance_id]})", asked.question + options
        yield "answer", asked.answer
    for talk in record.current(record.conversations):
        turns = "\n".join(f"{turn.role}: {turn.text}" for turn in talk.turns)
        yield f"conversation ({producers[talk.provenance_id]})", turns
