import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging import pictures
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


@pytest.mark.parametrize("alpha", [0, 9, 255])
def test_transparency_is_dropped_as_the_official_code_does(alpha: int, tmp_path: Path) -> None:
    coloured = saved(tmp_path, Image.new("RGBA", (2, 2), (10, 20, 30, alpha)), "rgba.png")
    grey = saved(tmp_path, Image.new("LA", (2, 2), (77, alpha)), "la.png")

    assert read_image(tmp_path, coloured).getpixel((1, 1)) == (10, 20, 30)
    assert read_image(tmp_path, grey).getpixel((1, 1)) == (77, 77, 77)


@pytest.mark.parametrize("transparency", [0, b"\x00\x80"])
def test_a_transparent_palette_shows_its_colours(transparency: int | bytes, tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=transparency)
    with Image.open(tmp_path / "p.png") as opened:
        assert opened.info["transparency"] == transparency

    found = read_image(tmp_path, probe_image(tmp_path, "p.png", image_id="i"))

    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (40, 50, 60)]


def test_cmyk_as_adobe_stores_it_comes_back_in_its_colours(tmp_path: Path) -> None:
    image = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "x.jpg")
    with Image.open(tmp_path / "x.jpg") as opened:
        assert (opened.mode, "adobe" in opened.info) == ("CMYK", True)

    red, green, blue = read_image(tmp_path, image).getpixel((4, 4))

    assert red >= 250
    assert max(green, blue) <= 5


def test_an_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    """The official code does not; boxes in owners' tables mean the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture = Image.new("RGB", (40, 20))
    picture.paste((255, 0, 0), (0, 0, 16, 16))
    picture.save(tmp_path / "x.jpg", exif=exif)

    image = probe_image(tmp_path, "x.jpg", image_id="i")
    found = read_image(tmp_path, image)

    assert (image.width, image.height) == found.size == (40, 20)
    assert found.getpixel((4, 4))[0] > 200


def test_the_content_decides_the_format_and_not_the_name(tmp_path: Path) -> None:
    Image.new("L", (3, 3), 9).save(tmp_path / "x.png", "jpeg")

    image = probe_image(tmp_path, "x.png", image_id="i")

    assert image.format == "jpeg"
    assert gray_levels(tmp_path, image) == [9, 9, 9]
    Image.new("L", (3, 3)).save(tmp_path / "x.png", "gif")
    with pytest.raises(InputError, match="format 'gif'; readable: png, jpeg"):
        read_image(tmp_path, image)


def animated(root: Path) -> str:
    levels = [Image.new("L", (4, 4), 20 + 80 * i) for i in range(3)]
    levels[0].save(root / "a.png", save_all=True, append_images=levels[1:])
    return "a.png"


def test_of_several_frames_the_record_names_one(tmp_path: Path) -> None:
    name = animated(tmp_path)
    for index, level in enumerate((20, 100, 180)):
        image = probe_image(tmp_path, name, image_id="i", axis="frame", index=index)
        assert gray_levels(tmp_path, image) == [level] * 4


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ({}, "no frame is chosen"),
        ({"axis": "axial", "index": 1}, "no frame is chosen"),  # a slice of a volume, no frame
        ({"axis": "frame", "index": 3}, "frame 3 is chosen"),
    ],
)
def test_frames_without_a_choice_are_refused(
    known: dict[str, Any], found: str, tmp_path: Path
) -> None:
    name = animated(tmp_path)
    image = ImageRef(image_id="i", path=name, format="png", width=4, height=4, **known)

    for read in (
        lambda: probe_image(tmp_path, name, image_id="i", **known),
        lambda: read_image(tmp_path, image),
    ):
        with pytest.raises(InputError, match=f"a.png: 3 frames, and {found}.*0 to 2") as caught:
            read()
        assert caught.value.kind == "image_frames"


def test_animated_gif_and_tiff_are_refused_by_their_format(tmp_path: Path) -> None:
    levels = [Image.new("L", (4, 4), 80 * i) for i in range(3)]
    for name in ("x.gif", "x.tiff"):
        levels[0].save(tmp_path / name, save_all=True, append_images=levels[1:])
        with pytest.raises(InputError, match=f"{name}: format '{name[2:]}'; readable") as caught:
            probe_image(tmp_path, name, image_id="i")
        assert caught.value.kind == "image_format"


def png(width: int, height: int, *, bits: int, colour_type: int, pixels: bytes = b"") -> bytes:
    """A PNG by hand, for what PIL does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_is_refused_and_not_cut_to_8(
    colour_type: int, channels: int, tmp_path: Path
) -> None:
    rows = (b"\0" + b"\x12\x34" * 2 * channels) * 2
    (tmp_path / "x.png").write_bytes(png(2, 2, bits=16, colour_type=colour_type, pixels=rows))

    with pytest.raises(InputError, match=r"x\.png: 16 bits a colour channel; expected 8") as caught:
        probe_image(tmp_path, "x.png", image_id="i")
    assert caught.value.kind == "image_depth"


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(*size, bits=8, colour_type=0))

    with pytest.raises(InputError, match=r"x\.png: unreadable image"):
        probe_image(tmp_path, "x.png", image_id="i")


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    assert gray_levels(tmp_path, saved(tmp_path, Image.new("L", (1, 1), 7))) == [7]


def test_a_side_of_20000_pixels_is_read(tmp_path: Path) -> None:
    image = saved(tmp_path, Image.new("1", (20_000, 1000), 1))

    assert read_image(tmp_path, image).size == (20_000, 1000)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((20_000, 5000), "20000 x 5000 pixels; at most 89478485 are read"),
        ((20_000, 20_000), "far more than the 89478485 pixels"),
    ],
)
def test_a_bomb_is_refused_by_its_header(
    size: tuple[int, int], message: str, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(png(*size, bits=8, colour_type=0))
    image = ImageRef(image_id="i", path="x.png", format="png", width=1, height=1)

    for read in (
        lambda: probe_image(tmp_path, "x.png", image_id="i"),
        lambda: read_image(tmp_path, image),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read()
        assert caught.value.kind == "image_too_large"


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
        with pytest.raises(
            InputError, match=rf"{name}: unreadable image \([a-z][a-z ,]+\)"
        ) as caught:
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
    volume = ImageRef(image_id="i", path="x.png", format="mha", width=4, height=4)

    with pytest.raises(InputError, match="format 'gif'; readable: png, jpeg"):
        probe_image(tmp_path, "x.png", image_id="i")
    with pytest.raises(InputError, match="format 'mha' cannot be read yet"):
        read_image(tmp_path, volume)


def test_a_huge_claim_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = saved(tmp_path, Image.new("L", (100, 100)))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 9999)

    for read in (
        lambda: probe_image(tmp_path, "x.png", image_id="i"),
        lambda: read_image(tmp_path, image),
    ):
        with pytest.raises(InputError, match="100 x 100 pixels; at most 9999") as caught:
            read()
        assert caught.value.kind == "image_too_large"
