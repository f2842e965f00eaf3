"""A small collection of drawn cases: a shape is the organ, a grey level the lesion type."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from semihvision.core.images import probe_image
from semihvision.core.record import Label, Licence, Provenance, Record, Text
from semihvision.retrieval import build_index, demo_guidelines

ORGANS = {"thorax": "rib", "abdomen": "kidney", "head_neck": "ventricle"}
LESIONS = {"cyst": 90, "tumour": 200}


def draw(organ: str, lesion: str, seed: int) -> Image.Image:
    """A phantom of 64 x 64 pixels with noise and a small shift."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (64, 64), 20)
    pen = ImageDraw.Draw(image)
    dx, dy = (int(step) for step in rng.integers(-2, 3, 2))
    box = (12 + dx, 12 + dy, 52 + dx, 52 + dy)
    if organ == "thorax":
        pen.rectangle(box, fill=120)
    elif organ == "abdomen":
        pen.ellipse(box, fill=120)
    else:
        pen.polygon([(32 + dx, 10 + dy), (54 + dx, 54 + dy), (10 + dx, 54 + dy)], fill=120)
    pen.ellipse((26 + dx, 30 + dy, 40 + dx, 44 + dy), fill=LESIONS[lesion])
    noisy = np.asarray(image, np.float32) + rng.normal(0, 6, (64, 64))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def write_case(
    root: Path,
    number: int,
    *,
    group: str | None = None,
    organ: str = "thorax",
    lesion: str = "cyst",
    text: str | None = None,
) -> Record:
    """Writes the image `<number>.png` and makes its record."""
    draw(organ, lesion, number).save(root / f"{number}.png")
    words = text if text is not None else f"A {lesion} near the {ORGANS[organ]}, case {number}."
    finding = Text(text_id="t0", kind="findings", text=words or "-", provenance_id="p0")
    return Record(
        record_id=f"demo/{number}",
        source="demo",
        group_id=group or f"patient-{number}",
        images=(probe_image(root, f"{number}.png", image_id="i0"),),
        labels=(Label(label_id="l0", name="lesion_type", value=lesion, system="demo"),),
        modality="ct",
        body_part=organ,
        texts=(finding,) if words else (),
        provenance=(Provenance(provenance_id="p0", producer="human"),),
        licence=Licence(name="CC0-1.0"),
    )


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """An image folder of this test alone."""
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def make_record(own_root: Path) -> Callable[..., Record]:
    """`write_case` into the test's own folder."""
    return partial(write_case, own_root)


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of `collection`; not to be changed."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def collection(shared_root: Path) -> list[Record]:
    """36 cases of 18 patients: all organs and lesions, two cases a patient."""
    organs, lesions = list(ORGANS), list(LESIONS)
    return [
        write_case(
            shared_root,
            number,
            group=f"patient-{number // 2}",
            organ=organs[(number // 2) % 3],
            lesion=lesions[(number // 6) % 2],
        )
        for number in range(36)
    ]


@pytest.fixture(scope="session")
def roots(shared_root: Path) -> dict[str, Path]:
    """Roots of `collection` for `build_index`."""
    return {"demo": shared_root}


@pytest.fixture(scope="session")
def shared_index(
    collection: list[Record], roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An index of `collection` and the demo guidelines; not to be changed."""
    out = tmp_path_factory.mktemp("built") / "index"
    build_index(out, records=collection, roots=roots, guidelines=[demo_guidelines()])
    return out


@pytest.fixture
def built(shared_index: Path, tmp_path: Path) -> Path:
    """A copy of the index that a test may damage."""
    return Path(shutil.copytree(shared_index, tmp_path / "index"))
