"""The reference path against processors we did not write, and how far the fast path is from it."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from models.configuration import TowerSpec
from models.preprocessing import MAX_SIDE_PX, check_size, to_rgb, tower_pixels
from models.preprocessing_reference import padded_resize
from models.presets import preset
from models.processing import PMCCambrianProcessor
from semihvision.core.batch import TowerPixels
from semihvision.core.errors import InputError

Picture = Callable[..., Image.Image]
SIDES = st.integers(1, 90)


def padded(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The published padding (cambrian.md section 2, steps 2 and 3), word by word."""
    width, height = image.size
    if width == height:
        return image
    square = Image.new("RGB", (max(width, height),) * 2, colour)
    if width > height:
        square.paste(image, (0, (width - height) // 2))
    else:
        square.paste(image, ((height - width) // 2, 0))
    return square


def hugging_face(kind: Any, side: int, mean: Any, std: Any) -> Callable[[Image.Image], Tensor]:
    processor = kind(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=mean,
        image_std=std,
    )
    return lambda image: processor(image, return_tensors="pt")["pixel_values"][0]


def open_clip(side: int, mean: Any, std: Any) -> Callable[[Image.Image], Tensor]:
    """The steps of open_clip's evaluation transform."""
    steps = v2.Compose(
        [
            v2.Resize(side, interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(side),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
    return lambda image: steps(image)


CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)
OFFICIAL = {
    "siglip/CLIP-ViT-SO400M-14-384": (384, CLIP[0], open_clip(384, *HALF)),
    "openai/clip-vit-large-patch14-336": (
        336,
        CLIP[0],
        hugging_face(CLIPImageProcessorPil, 336, *CLIP),
    ),
    "facebook/dinov2-giant-res378": (
        378,
        IMAGENET[0],
        hugging_face(BitImageProcessorPil, 378, *IMAGENET),
    ),
    "clip-convnext-XXL-multi-stage": (1024, CLIP[0], open_clip(1024, *CLIP)),
}
"""Side, the mean that decides the padding colour, and the tower's own processor."""


@pytest.mark.parametrize("size", [(300, 201), (200, 301), (190, 190), (1201, 700)])
def test_the_reference_path_is_the_towers_own_processors(
    picture: Picture, size: tuple[int, int]
) -> None:
    image = picture(*size)
    specs = preset("8b").tower_specs
    found = tower_pixels(image, specs)
    assert [spec.name for spec in specs] == list(OFFICIAL)
    for pixels, (side, mean, process) in zip(found, OFFICIAL.values(), strict=True):
        red, green, blue = (int(value * 255) for value in mean)
        expected = process(padded(image, (red, green, blue)).resize((side, side)))
        assert pixels.dtype == torch.float32
        assert pixels.is_contiguous()
        torch.testing.assert_close(pixels, expected.float(), atol=2e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(width=SIDES, height=SIDES, side=st.integers(1, 40), seed=st.integers(0, 99))
def test_padding_in_bands_changes_no_bit(width: int, height: int, side: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    colour = (122, 116, 104)
    for resample in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
        found = padded_resize(image, colour, side, resample)
        expected = padded(image, colour).resize((side, side), resample)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [(700, 1400), (1400, 700), (1100, 1100)])
def test_several_bands_change_no_bit(picture: Picture, size: tuple[int, int]) -> None:
    image, colour = picture(*size), (9, 200, 77)
    found = padded_resize(image, colour, 96, Image.Resampling.BICUBIC)
    expected = padded(image, colour).resize((96, 96), Image.Resampling.BICUBIC)
    assert found.tobytes() == expected.tobytes()


def deviation(image: Image.Image, specs: tuple[TowerSpec, ...]) -> tuple[float, float]:
    """Largest and mean difference of the two paths in 8-bit grey levels."""
    worst, means = 0.0, []
    paths = (tower_pixels(image, specs, "reference"), tower_pixels(image, specs, "fast"))
    for spec, one, other in zip(specs, *paths, strict=True):
        difference = (one - other).abs() * torch.tensor(spec.image_std)[:, None, None] * 255
        worst = max(worst, float(difference.max()))
        means.append(float(difference.mean()))
    return worst, max(means)


def disc(width: int, height: int) -> Image.Image:
    """A bright body on black, the sharpest edge a scan has."""
    y, x = np.mgrid[:height, :width]
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2
    return Image.fromarray(np.where(inside, 235, 4).astype(np.uint8)).convert("RGB")


def checkers(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(((x // 3 + y // 3) % 2 * 255).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("size", [(500, 301), (301, 500), (420, 420)])
def test_the_fast_path_is_at_most_two_levels_off(picture: Picture, size: tuple[int, int]) -> None:
    specs = preset("8b").tower_specs
    for image in (picture(*size), disc(*size), checkers(*size)):
        worst, mean = deviation(image, specs)
        assert worst <= 2 + 1e-3
        assert mean < 0.02


@settings(max_examples=40, deadline=None)
@given(width=SIDES, height=SIDES, seed=st.integers(0, 99))
def test_the_fast_path_holds_at_any_size(width: int, height: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    worst, _ = deviation(image, preset("tiny").tower_specs)
    assert worst <= 2 + 1e-3


def test_the_fast_path_on_real_radiographs(vqa_rad_root: Path) -> None:
    files = sorted((vqa_rad_root / "images").iterdir())[:6]
    assert len(files) == 6
    for file in files:
        worst, mean = deviation(Image.open(file).convert("RGB"), preset("8b").tower_specs)
        assert worst <= 2 + 1e-3
        assert mean < 0.02


def test_preprocessing_is_a_setting_of_the_processor(picture: Picture) -> None:
    image = picture(50, 31)
    for path in ("reference", "fast"):
        processor = PMCCambrianProcessor.from_preset("tiny", preprocessing=path)
        specs = processor.config.tower_specs
        for found, expected in zip(
            processor.prepare_image(image).pixels, tower_pixels(image, specs, path), strict=True
        ):
            assert torch.equal(found, expected)
    with pytest.raises(InputError, match="'quick'; expected one of reference, fast"):
        PMCCambrianProcessor.from_preset("tiny", preprocessing="quick")


class Pictures(torch.utils.data.Dataset[TowerPixels]):
    def __init__(self, processor: PMCCambrianProcessor, images: list[Image.Image]) -> None:
        self.processor, self.images = processor, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> TowerPixels:
        return self.processor.prepare_image(self.images[index])


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_images_are_prepared_in_loader_workers(path: Any, picture: Picture) -> None:
    processor = PMCCambrianProcessor.from_preset("tiny", preprocessing=path)
    dataset = Pictures(pickle.loads(pickle.dumps(processor)), [picture(30, 20), picture(20, 30)])
    loader = DataLoader(dataset, batch_size=None, num_workers=1)
    for found, image in zip(loader, dataset.images, strict=True):
        expected = processor.prepare_image(image)
        assert tuple(found.size_wh) == image.size  # the default collation makes lists
        assert all(map(torch.equal, found.pixels, expected.pixels))


SMALL = (
    TowerSpec(name="a", grid_side=6, dim=4, input_side_px=16),
    TowerSpec(name="b", grid_side=6, dim=4, input_side_px=24, padding_colour=(1, 2, 3)),
)


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_one_pixel_is_an_image(path: Any) -> None:
    for pixels, spec in zip(
        tower_pixels(Image.new("RGB", (1, 1), (255, 0, 51)), SMALL, path), SMALL, strict=True
    ):
        side = spec.input_side_px
        level = torch.tensor([1.0, 0.0, 0.2])
        expected = ((level - 0.5) / 0.5)[:, None, None].expand(3, side, side)
        torch.testing.assert_close(pixels, expected)


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_each_tower_has_its_own_padding(path: Any) -> None:
    """A wide and a tall image: the corners of every tower show its own colour."""
    for size in ((40, 10), (10, 40)):
        image = Image.new("RGB", size, "white")
        for pixels, spec in zip(tower_pixels(image, SMALL, path), SMALL, strict=True):
            levels = (pixels * 0.5 + 0.5) * 255
            assert levels[:, 0, 0].round().tolist() == list(spec.padding_colour)
            assert levels[:, -1, -1].round().tolist() == list(spec.padding_colour)
            assert levels[:, spec.input_side_px // 2, spec.input_side_px // 2].min() > 250


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 5), "0x5 pixels: it is empty"),
        ((5, 0), "5x0 pixels: it is empty"),
        ((1, 50), "1x50 pixels covers no cell of the 6x6 image grid"),
        ((90, 10), "90x10 pixels covers no cell of the 6x6"),
        ((MAX_SIDE_PX + 1, 9000), r"20001x9000 pixels: expected at most 20000 a side"),
    ],
)
def test_unusable_sizes_are_refused(
    tiny_processor: PMCCambrianProcessor, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tiny_processor.prepare_image(Image.new("1", size))


def test_a_side_of_20000_pixels_is_taken() -> None:
    width, height = MAX_SIDE_PX, 900
    check_size(width, height, 24)
    check_size(height, width, 24)
    for pixels in tower_pixels(Image.new("RGB", (width, height), "white"), SMALL):
        side = pixels.shape[-1]
        # A white line, thinner than a row of the result, between rows of padding.
        assert (pixels[:, side // 2] > pixels[:, 0] + 0.2).all()


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_images_are_refused(tiny_processor: PMCCambrianProcessor, mode: str) -> None:
    with pytest.raises(InputError, match=rf"mode '{mode}'.*apply a window first"):
        tiny_processor.prepare_image(Image.new(mode, (8, 8)))


@pytest.mark.parametrize(
    ("mode", "colour"), [("1", 1), ("L", 255), ("LA", (255, 9)), ("CMYK", (0, 0, 0, 0))]
)
def test_8_bit_modes_become_rgb(mode: str, colour: Any) -> None:
    assert to_rgb(Image.new(mode, (2, 1), colour)).getpixel((1, 0)) == (255, 255, 255)


def test_alpha_is_dropped_as_in_the_official_code() -> None:
    assert to_rgb(Image.new("RGBA", (1, 1), (10, 20, 30, 0))).getpixel((0, 0)) == (10, 20, 30)
    palette = Image.new("P", (1, 1))
    palette.putpalette([10, 20, 30])
    for transparency in (0, b"\x00"):
        palette.info["transparency"] = transparency
        assert to_rgb(palette).getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize(("suffix", "frames"), [("gif", 3), ("png", 2), ("tiff", 2)])
def test_an_image_of_several_frames_is_refused(tmp_path: Path, suffix: str, frames: int) -> None:
    levels = [Image.new("L", (4, 4), 20 + 80 * i) for i in range(frames)]
    file = tmp_path / f"x.{suffix}"
    levels[0].save(file, save_all=True, append_images=levels[1:])
    with Image.open(file) as opened:
        with pytest.raises(InputError, match=rf"{frames} frames; expected one: .*copy\(\)"):
            to_rgb(opened)
        opened.seek(1)
        assert to_rgb(opened.copy()).getpixel((0, 0)) == (100, 100, 100)


def test_a_lazily_opened_torn_file_is_refused(tmp_path: Path, picture: Picture) -> None:
    file = tmp_path / "x.jpg"
    picture(64, 64).save(file)
    file.write_bytes(file.read_bytes()[:1000])
    with Image.open(file) as opened, pytest.raises(InputError, match="cannot be decoded"):
        to_rgb(opened)


def test_an_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    """As in the official code, and because boxes and sizes in tables mean the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    image.save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as opened:
        assert opened.getexif()[0x0112] == 6
        rgb = to_rgb(opened)
    assert rgb.size == (4, 2)
    assert rgb.getpixel((0, 0)) == (255, 0, 0)
