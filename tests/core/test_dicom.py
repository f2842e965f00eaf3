"""DICOM images written for the purpose: how their pixels are shown."""

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset_of, probed, ramp, write_dicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import processing
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
)
from shown_images import facts, grey

from semihvision.core.images import probe_image


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    center=st.integers(-300, 300),
    width=st.integers(1, 600),
    slope=st.sampled_from([1, 2, 0.5, -1]),
    intercept=st.integers(-1024, 100),
    function=st.sampled_from(["", "LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    inverted=st.booleans(),
)
def test_rescale_window_and_inversion_equal_pydicoms(
    center: int,
    width: int,
    slope: float,
    intercept: int,
    function: str,
    inverted: bool,
    tmp_path: Path,
) -> None:
    pixels = ramp(12, 10) * 12 - 700
    elements = {
        "WindowCenter": center,
        "WindowWidth": width,
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
        **({"VOILUTFunction": function} if function else {}),
    }
    image = probed(tmp_path, pixels, **elements)
    if width == 1 and function in ("", "LINEAR"):  # pydicom divides by width - 1
        theirs = (pixels * slope + intercept > center - 0.5).astype(float)
    else:
        dataset = dataset_of(pixels, **elements)
        physical = processing.apply_modality_lut(pixels, dataset)
        with np.errstate(over="ignore"):  # of its exponential
            theirs = processing.apply_windowing(physical, dataset)
        ends = sorted((slope * end + intercept) for end in (-(2**15), 2**15 - 1))
        theirs = (theirs - ends[0]) / (ends[1] - ends[0])
        theirs = 1 - theirs if slope < 0 else theirs
    expected = 255 * (1 - theirs if inverted else theirs)

    assert np.abs(grey(tmp_path, image) - expected).max() <= 0.5 + 1e-6


def test_a_given_window_takes_the_place_of_the_headers(tmp_path: Path) -> None:
    name = write_dicom(tmp_path / "x.dcm", ramp(), WindowCenter=40, WindowWidth=400)

    image = probe_image(
        tmp_path, name, image_id="i", window_center=10.0, window_width=2.0, view="own"
    )

    assert (image.window_center, facts(image)["window"], image.view) == (10.0, "given", "own")
    assert grey(tmp_path, image).ravel().tolist() == [0] * 10 + [255] * 10


@pytest.mark.parametrize(
    ("centers", "widths", "used"),
    [
        ([40, 300], [400, 1500], "header, 1 of 2"),
        ([40, 300], [0, 1500], "header, 2 of 2"),
        (40, 0, "percentiles of the values"),
    ],
)
def test_of_several_windows_the_first_usable_is_taken(
    centers: Any, widths: Any, used: str, tmp_path: Path
) -> None:
    image = probed(tmp_path, ramp(), WindowCenter=centers, WindowWidth=widths)

    assert facts(image)["window"] == used


def test_without_a_window_it_is_made_from_the_values_without_the_padding(tmp_path: Path) -> None:
    pixels = ramp(20, 20)
    pixels[0] = -2000
    image = probed(tmp_path, pixels, PixelPaddingValue=-2000, RescaleSlope=2, RescaleIntercept=5)
    low, high = np.percentile(pixels[1:] * 2 + 5, (0.5, 99.5))

    assert facts(image)["window"] == "percentiles of the values"
    assert image.window_center == pytest.approx((low + high) / 2)
    assert image.window_width == pytest.approx(high - low)
    assert (grey(tmp_path, image)[0] == 0).all()


def table_item(first: int, entries: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", np.array(entries, dtype="<u2").tobytes())
    return item


def test_a_modality_table_and_a_voi_table_are_looked_up(tmp_path: Path) -> None:
    pixels = np.array([[-5, 0, 1, 2, 3, 90]], dtype=np.int16)
    image = probed(
        tmp_path,
        pixels,
        ModalityLUTSequence=Sequence([table_item(0, [100, 110, 120, 130], 16)]),
        VOILUTSequence=Sequence([table_item(110, [0, 511, 1023], 10)] * 2),
    )
    # 100, 100, 110, 120 (the second entry + 10), 130, 130: beyond the last entry

    assert facts(image)["modality_table"] == "applied"
    assert facts(image)["window"] == "VOI table, 1 of 2"
    assert image.window_center is None
    assert grey(tmp_path, image).tolist() == [[0, 0, 0, 255, 255, 255]]


def test_8_bit_grey_without_a_window_is_shown_as_stored(tmp_path: Path) -> None:
    pixels = ramp(dtype=np.uint8) * 9
    image = probed(tmp_path, pixels)

    assert facts(image)["window"] == "none: 8 bits as stored"
    np.testing.assert_array_equal(grey(tmp_path, image), pixels)


def test_the_presentation_table_inverse_inverts_once(tmp_path: Path) -> None:
    pixels = ramp(dtype=np.uint8)
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        image = probed(
            tmp_path,
            pixels,
            PhotometricInterpretation=photometric,
            PresentationLUTShape="INVERSE",
        )
        np.testing.assert_array_equal(grey(tmp_path, image), 255 - pixels)


PHANTOM_LPS = np.zeros((6, 8, 10), dtype=np.int16)
"""[left, back, head]: marks around the right, front, lower corner; no turn maps it to itself."""
PHANTOM_LPS[0, 0, 0] = 1000
PHANTOM_LPS[1, 0, 0] = 600
PHANTOM_LPS[0, 1, 0] = 400
PHANTOM_LPS[0, 0, 1] = 200
PHANTOM_LPS[5, 7, 9] = 100


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=2)))
def test_every_orientation_is_shown_in_the_radiological_convention(
    order: tuple[int, ...], signs: tuple[int, int], tmp_path: Path
) -> None:
    """Patient's right at the left, front at the top (axial); head at the top otherwise."""
    columns, rows, along = order
    stored = PHANTOM_LPS.transpose(along, rows, columns)[0]
    stored = stored[:: signs[1], :: signs[0]]
    cosines = np.zeros((2, 3))
    cosines[0, columns], cosines[1, rows] = signs
    expected = {
        2: PHANTOM_LPS[:, :, 0].T,
        1: PHANTOM_LPS[:, 0, ::-1].T,
        0: PHANTOM_LPS[0, :, ::-1].T,
    }[along]
    image = probed(
        tmp_path,
        np.ascontiguousarray(stored),
        ImageOrientationPatient=cosines.ravel().tolist(),
        PixelSpacing=[float(rows + 1), float(columns + 1)],  # by patient axis
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
    )

    levels = np.rint(expected / 1000 * 255)
    np.testing.assert_array_equal(grey(tmp_path, image), levels)
    sideways, down = {2: (1, 2), 1: (1, 3), 0: (2, 3)}[along]
    assert image.spacing_mm == (sideways, down)
    assert (image.height, image.width) == expected.shape


def functional_groups(frame: int) -> Dataset:
    """Window, slope and orientation of one frame of an enhanced object."""
    item, window, scale, plane = Dataset(), Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 50 + frame, 100
    scale.RescaleSlope, scale.RescaleIntercept = 1 + frame, -frame
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1 - 2 * frame, 0]
    item.FrameVOILUTSequence = Sequence([window])
    item.PixelValueTransformationSequence = Sequence([scale])
    item.PlaneOrientationSequence = Sequence([plane])
    return item


def test_an_enhanced_file_takes_each_frames_own_values(tmp_path: Path) -> None:
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [2, 3]
    shared.PixelMeasuresSequence = Sequence([measures])
    name = write_dicom(
        tmp_path / "x.dcm",
        np.stack([ramp(), ramp() * 2]),
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=Sequence([functional_groups(f) for f in (0, 1)]),
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )
    first, second = (
        probe_image(tmp_path, name, image_id="i", axis="frame", index=index) for index in (0, 1)
    )

    assert (first.window_center, second.window_center) == (50, 51)
    assert (second.rescale_slope, second.rescale_intercept) == (2, -1)
    assert (first.orientation, second.orientation) == ("LPS", "LAI")
    assert first.spacing_mm == (3, 2)
    assert facts(second)["frames"] == "2"
    flipped = np.clip(((ramp() * 4 - 1) - 50.5) / 99 + 0.5, 0, 1)[::-1] * 255
    assert np.abs(grey(tmp_path, second) - flipped).max() <= 0.5


def test_deflated_pixels_are_read(tmp_path: Path) -> None:
    dataset = dataset_of(ramp(dtype=np.uint8))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    image = probe_image(tmp_path, "x.dcm", image_id="i")
    np.testing.assert_array_equal(grey(tmp_path, image), ramp(dtype=np.uint8))
