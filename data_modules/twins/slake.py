"""The twin of SLAKE: phantoms with questions in English and Chinese."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.random import default_rng

from data_modules.phantom_anatomy import ORGANS
from data_modules.phantoms import SIDES, Factors, design, draw
from data_modules.slake import IMAGES, SPLIT_FILES
from data_modules.twins.planting import write_array

_LOCATIONS = {"head_neck": "Brain", "thorax": "Lung", "abdomen": "Abdomen"}
_MODALITIES = {"mr": "MRI", "ct": "CT", "xray": "X-Ray"}
_SPLIT_OF = ("train", "train", "train", "validation", "test")

Rows = dict[str, list[dict[str, Any]]]


def write_twin(root: Path, *, cases: int, seed: int) -> None:
    """Writes phantoms with six questions each; three of five images are for training.

    No image is in two splits, unlike in the real set.

    Args:
        root: Folder to write to.
        cases: Number of images.
        seed: Decides everything.
    """
    rows = draw_images(root, cases, seed)
    for split, file in SPLIT_FILES.items():
        write_array(root / file, rows[split])


def draw_images(root: Path, cases: int, seed: int) -> Rows:
    """Draws all images and returns the owners' rows by split."""
    rows: Rows = {split: [] for split in SPLIT_FILES}
    qid = 0
    for index, factors in enumerate(design(cases, default_rng([seed, 21]))):
        folder = root / IMAGES / f"xmlab{index}"
        folder.mkdir(parents=True, exist_ok=True)
        draw(factors, [seed, 21, index]).image().convert("RGB").save(folder / "source.jpg")
        for row in _questions(factors, index):
            rows[_SPLIT_OF[index % len(_SPLIT_OF)]].append({**row, "qid": qid})
            qid += 1
    return rows


def _questions(factors: Factors, index: int) -> Iterator[dict[str, Any]]:
    """Modality, presence and side, in both languages; presence is true at every other image."""
    organ = ORGANS[factors.organ]
    modality = _MODALITIES[organ.modality]
    asked = factors.side if index % 2 else SIDES[1 - SIDES.index(factors.side)]
    present = asked == factors.side
    sides = {"left": "左", "right": "右"}
    common = {
        "img_id": index,
        "img_name": f"xmlab{index}/source.jpg",
        "location": _LOCATIONS[organ.body_part],
        "modality": modality,
        "base_type": "vqa",
        "triple": ["vhead", "_", "_"],
    }
    for language, question, answer, kind, content in (
        ("en", "What modality is used to take this image?", modality, "OPEN", "Modality"),
        ("zh", "这张图片的成像方式是什么?", modality, "OPEN", "Modality"),
        ("en", f"Is there a lesion in the {organ.site(asked)}?", "Yes" if present else "No",
         "CLOSED", "Abnormality"),
        ("zh", f"图像{sides[asked]}侧有病灶吗?", "有" if present else "没有", "CLOSED",
         "Abnormality"),
        ("en", "On which side is the lesion, left or right?", factors.side.capitalize(), "CLOSED",
         "Position"),
        ("zh", "病灶在左侧还是右侧?", f"{sides[factors.side]}侧", "CLOSED", "Position"),
    ):  # fmt: skip
        yield common | {
            "question": question,
            "answer": answer,
            "q_lang": language,
            "answer_type": kind,
            "content_type": content,
        }
