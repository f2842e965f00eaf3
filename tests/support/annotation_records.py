"""Hand-made records for the three annotation paths, and a retriever that answers from a list."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from semihvision.core.parquet import write_records
from semihvision.core.record import (
    ImageRef,
    Label,
    Licence,
    Provenance,
    Record,
    Region,
    Text,
)

SIZE = 64


def record(name: str, source: str = "deeplesion", **changes: Any) -> Record:
    """One CT slice of 64 x 64 pixels at 0.5 mm, without any annotation."""
    values: dict[str, Any] = {
        "record_id": f"{source}/{name}",
        "source": source,
        "group_id": f"patient-{name}",
        "images": (
            ImageRef(
                image_id="i1",
                path=f"{name}.png",
                format="png",
                width=SIZE,
                height=SIZE,
                spacing_mm=(0.5, 0.5),
            ),
        ),
        "modality": "ct",
        "body_part": "abdomen",
        "provenance": (Provenance(provenance_id="owner", producer="human"),),
        "licence": Licence(name="CC-BY-4.0"),
    }
    return Record(**{**values, **changes})


def with_text(name: str, source: str = "eurorad", **changes: Any) -> Record:
    """A case with history, findings and diagnosis by people."""
    said = (
        ("history", "A patient with pain for two weeks."),
        ("findings", "CT shows a hypodense mass of 23 mm\nin the right lobe of the liver."),
        ("diagnosis", "Hepatic haemangioma"),
    )
    texts = tuple(
        Text(text_id=kind, kind=kind, text=text, provenance_id="owner") for kind, text in said
    )
    return record(name, source, **{"texts": texts, **changes})


def with_regions(name: str, count: int = 2, side: str = "", **changes: Any) -> Record:
    """A slice with boxes of 20 x 10 pixels, which are 10 x 5 mm."""
    regions = tuple(
        Region(
            region_id=f"r{i}",
            image_id="i1",
            box_xyxy=(2.0, 12.0 * i, 22.0, 12.0 * i + 10.0),
            label="liver lesion",
            drawn_by="expert",
        )
        for i in range(count)
    )
    labels = [Label(label_id="organ", name="organ", value="liver", system="owner")]
    if side:
        labels.append(Label(label_id="side", name="laterality", value=side, system="owner"))
    return record(name, **{"regions": regions, "labels": tuple(labels), **changes})


def bare(name: str, **changes: Any) -> Record:
    """A hospital's own image."""
    return record(name, "folder", **changes)


def write_images(root: Path, records: Iterable[Record]) -> None:
    """Draws noise where the records expect their images."""
    root.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(records):
        for image in one.images:
            noise = np.random.default_rng(number).integers(0, 255, (SIZE, SIZE), dtype=np.uint8)
            Image.fromarray(noise).save(root / image.path)


def write_case(folder: Path, records: Sequence[Record]) -> tuple[Path, dict[str, Path]]:
    """Records in Parquet with their images; returns the file and the roots of all sources."""
    root = folder / "images"
    write_images(root, records)
    path = folder / "in.parquet"
    write_records(path, records)
    return path, {one.source: root for one in records}


@dataclass(frozen=True, kw_only=True)
class ListedHit:
    """A hit as the pipeline expects it."""

    ref: str
    kind: str
    source: str
    sources: tuple[str, ...]
    group_id: str
    score: float
    title: str
    text: str
    split: str = ""


@dataclass
class ListRetriever:
    """Returns the listed hits, best score first; keeps what it was asked."""

    hits: Sequence[ListedHit]
    sha256: str = "index-1"
    queries: list[dict[str, Any]] = field(default_factory=list)

    def search(
        self,
        *,
        text: str | None,
        image: Image.Image | None,
        k: int,
        kinds: Sequence[str],
        exclude_groups: Collection[tuple[str, str]],
    ) -> list[ListedHit]:
        self.queries.append({"text": text, "image": image, "k": k, "kinds": tuple(kinds)})
        found = [
            hit
            for hit in self.hits
            if hit.kind in kinds and (hit.source, hit.group_id) not in exclude_groups
        ]
        return sorted(found, key=lambda hit: -hit.score)[:k]


NEIGHBOUR_FINDING = (
    "A large necrotic mass of the left kidney with invasion of the renal vein and many nodes"
)


def case_hit(**changes: Any) -> ListedHit:
    """A similar case of another patient."""
    values = {"ref": "eurorad/9", "kind": "case", "source": "eurorad", "group_id": "case-9"}
    more = {"score": 0.9, "title": "Renal mass", "text": NEIGHBOUR_FINDING}
    made = {**values, **more, **changes}
    return ListedHit(**{"sources": (made["source"],), **made})


def guideline_hit(**changes: Any) -> ListedHit:
    """A passage of a guideline of our own."""
    values = {"ref": "demo/1#1", "kind": "guideline", "source": "semihvision-demo", "sources": ()}
    more = {"group_id": "demo/1", "score": 0.5, "title": "Reading a CT of the abdomen"}
    text = "Look at each organ in a fixed order and compare both sides before naming a lesion."
    return ListedHit(**{**values, **more, "text": text, **changes})
