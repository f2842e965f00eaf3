from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from semihvision.core import images
from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.record import ImageRef


def saved(root: Path, image: Image.Image, name: str = "x.png", **known: Any) -> ImageRef:
    image.save(root / name)
    return probe_image(root, name, image_id="i", **known)


def gray_levels(root: Path, image: ImageRef) -> list[int]:
    rgb = np.asarray(read_image(root, image))
    assert (rgb[..., 0] == rgb[..., 1]).all()
    return [int(value) for value in rgb[0, :, 0]]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.lists(st.integers(0, 65535), min_size=1, max_size=20),
    center=st.floats(-2000, 2000),
    width=st.floats(1, 5000),
)
def test_a_16_bit_window_is_linear_and_saturates(
    stored: list[int], center: float, width: float, tmp_path: Path
) -> None:
    pixels = np.array([stored], dtype=np.uint16)
    image = saved(
        tmp_path,
        Image.fromarray(pixels),
        rescale_intercept=-32768.0,
        window_center=center,
        window_width=width,
    )

    found = gray_levels(tmp_path, image)

    for value, level in zip(stored, found, strict=True):
        share = ((value - 32768) - (center - width / 2)) / width
        assert abs(level - 255 * min(max(share, 0), 1)) <= 0.5 + 1e-6


def test_hounsfield_units_of_deeplesion(tmp_path: Path) -> None:
    """HU -175 is black, 275 white, 50 the middle of the window [-175, 275]."""
    stored = np.array([[-1000, -175, 50, 275, 3000]]) + 32768
    image = saved(
        tmp_path,
        Image.fromarray(stored.astype(np.uint16)),
        rescale_intercept=-32768.0,
        window_center=50.0,
        window_width=450.0,
    )

    assert gray_levels(tmp_path, image) == [0, 0, 128, 255, 255]


def test_16_bit_without_a_window_is_refused(tmp_path: Path) -> None:
    image = saved(tmp_path, Image.fromarray(np.zeros((2, 2), np.uint16)))

    with pytest.raises(InputError, match="16-bit image without a display window"):
        read_image(tmp_path, image)


def test_palette_and_gray_are_shown_in_their_colours(tmp_path: Path) -> None:
    rgb = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8))
    palette = saved(tmp_path, rgb.convert("P", palette=Image.Palette.ADAPTIVE), "p.png")
    gray = saved(tmp_path, Image.fromarray(np.array([[7, 200]], dtype=np.uint8)), "l.png")

    assert np.asarray(read_image(tmp_path, palette)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert gray_levels(tmp_path, gray) == [7, 200]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    name = "x.jpg" if mode == "CMYK" else "x.png"
    image = saved(tmp_path, Image.new("RGB", (4, 3), "white").convert(mode), name)

    found = read_image(tmp_path, image)

    assert (found.mode, found.size) == ("RGB", (4, 3))
    assert np.asarray(found).min() >= 250


def test_transparent_pixels_lie_on_black(tmp_path: Path) -> None:
    pixels = np.array([[[255, 255, 255, 0], [255, 255, 255, 255]]], dtype=np.uint8)
    image = saved(tmp_path, Image.fromarray(pixels))

    assert gray_levels(tmp_path, image) == [0, 255]


def test_a_probe_describes_the_file(tmp_path: Path) -> None:
    image = saved(tmp_path, Image.new("L", (5, 3)), view="PA")

    assert (image.format, image.width, image.height, image.view) == ("png", 5, 3, "PA")
    assert len(image.sha256) == 64


def torn(root: Path, name: str) -> str:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(root / name)
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])
    return name


def not_an_image(root: Path, name: str) -> str:
    (root / name).write_bytes(b"PATIENT NAME")
    return name


def empty(root: Path, name: str) -> str:
    (root / name).touch()
    return name


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
@pytest.mark.parametrize("spoil", [torn, not_an_image, empty])
def test_unreadable_files_are_refused(spoil: Any, name: str, tmp_path: Path) -> None:
    spoil(tmp_path, name)
    image = ImageRef(image_id="i", path=name, format="png", width=64, height=64)

    for read in (
        lambda: probe_image(tmp_path, name, image_id="i"),
        lambda: read_image(tmp_path, image),
    ):
        with pytest.raises(InputError, match=rf"{name}: unreadable image \(\w+\)") as caught:
            read()
        assert caught.value.kind == "unreadable_image"


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("absent.png", "folder.png"):
        with pytest.raises(InputError, match=f"{name}: no such image") as caught:
            probe_image(tmp_path, name, image_id="i")
        assert caught.value.kind == "missing_image"


def test_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png", "gif")
    volume = ImageRef(image_id="i", path="x.png", format="nifti", width=4, height=4)

    with pytest.raises(InputError, match="format 'gif'; readable: png, jpeg"):
        probe_image(tmp_path, "x.png", image_id="i")
    with pytest.raises(InputError, match="format 'nifti' cannot be read yet"):
        read_image(tmp_path, volume)


def test_a_huge_claim_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = saved(tmp_path, Image.new("L", (100, 100)))
    monkeypatch.setattr(images, "MAX_PIXELS", 9999)

    for read in (
        lambda: probe_image(tmp_path, "x.png", image_id="i"),
        lambda: read_image(tmp_path, image),
    ):
        with pytest.raises(InputError, match="100 x 100 pixels; at most 9999") as caught:
            read()
        assert caught.value.kind == "image_too_large"


def test_pillows_own_bomb_guard_is_an_unreadable_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(InputError, match="DecompressionBombError"):
        probe_image(tmp_path, "x.png", image_id="i")
