"""DICOM files that cannot be used as they are: what is refused, and with which words."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset_of, probed, ramp, write_dicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    SegmentationStorage,
)
from shown_images import grey

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging import codestreams, dicom_header


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({"Modality": "RTDOSE"}, "not_an_image"),
        ({"Modality": "SEG"}, "not_an_image"),
        ({"Modality": "", "SOPClassUID": SegmentationStorage}, "not_an_image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "mosaic_image"),
        ({"Rows": 60000, "Columns": 60000}, "image_too_large"),
        ({"Rows": 0}, "unreadable_image"),
        ({"PhotometricInterpretation": "HSV"}, "unreadable_image"),
        ({"VOILUTFunction": "CUBIC", "WindowCenter": 1, "WindowWidth": 9}, "unreadable_image"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "invalid_orientation"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "unreadable_image"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 18}, "constant_image"),
    ],
)
def test_what_the_header_rules_out_is_refused(
    elements: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        probed(tmp_path, ramp(), **elements)

    assert caught.value.kind == kind


def test_a_constant_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.dcm: every pixel has the same value") as caught:
        probed(tmp_path, np.full((4, 4), 7, np.int16), WindowCenter=7, WindowWidth=10)
    assert caught.value.kind == "constant_image"


def compressed(path: Path, stream: bytes) -> str:
    dataset = dataset_of(ramp(8, 8, np.uint8))
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path.name


def test_a_code_stream_of_another_size_than_the_header_is_refused(tmp_path: Path) -> None:
    """60,000 x 60,000 in a few bytes: a decoder would believe it."""
    size = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + (60000).to_bytes(4, "big") * 2 + bytes(8)
    boxed = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0jp2c" + size

    for stream in (size, boxed):
        assert codestreams.stream_size(stream) == (60000, 60000)
        with pytest.raises(InputError, match=r"state 60000 x 60000 pixels, its header 8 x 8"):
            probe_image(tmp_path, compressed(tmp_path / "x.dcm", stream), image_id="i")


@given(st.binary(max_size=60))
def test_no_bytes_break_the_size_reader(data: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"):
        codestreams.stream_size(start + data)


def test_a_deflated_bomb_is_refused_before_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_of(np.zeros((512, 512), np.int16))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    monkeypatch.setattr(dicom_header, "MAX_INFLATED_BYTES", 10_000)

    with pytest.raises(InputError, match=r"x\.dcm: deflated, and more than 10000") as caught:
        probe_image(tmp_path, "x.dcm", image_id="i")
    assert caught.value.kind == "image_too_large"


def test_another_file_in_place_of_the_first_is_read_anew(tmp_path: Path) -> None:
    """Headers are cached by path, time and size."""
    image = probed(tmp_path, ramp(dtype=np.uint8))
    first = grey(tmp_path, image)
    (tmp_path / "new").mkdir()
    write_dicom(tmp_path / "new/x.dcm", ramp(8, 6, np.uint8))
    shutil.move(tmp_path / "new/x.dcm", tmp_path / "x.dcm")

    assert grey(tmp_path, image).shape == (8, 6) != first.shape


def test_packed_files_and_files_without_a_preamble_say_what_to_do(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", ramp())
    data = (tmp_path / "x.dcm").read_bytes()
    (tmp_path / "x.dcm.gz").write_bytes(gzip.compress(data))
    (tmp_path / "bare.dcm").write_bytes(data[132:])

    with pytest.raises(InputError, match=r"x\.dcm\.gz: packed by gzip.*unpack it"):
        probe_image(tmp_path, "x.dcm.gz", image_id="i")
    with pytest.raises(InputError, match=r"bare\.dcm: .*with its preamble"):
        probe_image(tmp_path, "bare.dcm", image_id="i")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(132, 700), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_anywhere_is_a_refusal_or_a_picture(
    place: int, byte: int, cut: bool, tmp_path: Path
) -> None:
    write_dicom(tmp_path / "x.dcm", ramp(), WindowCenter=5, WindowWidth=20)
    data = bytearray((tmp_path / "x.dcm").read_bytes())
    place = min(place, len(data) - 1)
    data[place] = byte
    (tmp_path / "y.dcm").write_bytes(data[:place] if cut else data)

    refusal = ""
    try:
        image = probe_image(tmp_path, "y.dcm", image_id="i")
    except InputError as error:
        refusal = str(error)

    if refusal:
        assert refusal.startswith("y.dcm: ")
    else:
        assert read_image(tmp_path, image).size == (image.width, image.height)
