"""Kept images: one of a file must not stand in for another view of the same file."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data_modules.example_dataset import ExampleDataset
from models.processing import PMCCambrianProcessor
from semihvision.core.batch import Example, Turn
from semihvision.core.images import probe_image


def test_two_windows_of_one_file_are_two_images(tmp_path: Path) -> None:
    levels = np.linspace(0, 60_000, 64 * 64, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(levels).save(tmp_path / "ct.png")
    views = [
        probe_image(tmp_path, "ct.png", image_id=name, window_center=centre, window_width=20_000.0)
        for name, centre in (("lung", 10_000.0), ("bone", 50_000.0))
    ]
    turns = (Turn("human", "<image>\nWhat is it?"), Turn("gpt", "CT"))
    examples = [
        Example(
            example_id=v.image_id,
            source="own",
            split="train",
            turns=turns,
            images=(v,),
            modality="ct",
            derived_from=("own",),
        )
        for v in views
    ]
    processor = PMCCambrianProcessor.from_preset("tiny")
    kept = ExampleDataset(examples, roots={"own": tmp_path}, processor=processor, prepared={})
    lung, bone = (kept[i]["images"][0].pixels[0] for i in range(2))
    assert not torch.equal(lung, bone)
    assert kept[0]["images"][0].pixels[0] is lung
