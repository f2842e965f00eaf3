"""DICOM images written for the purpose: what is chosen, recorded, refused, and left behind."""

import gzip
import logging
import shutil
import warnings
from itertools import permutations, product
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset_of, ramp, write_dicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import processing
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    SegmentationStorage,
)

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging import codestreams, dicom_header
from semihvision.core.imaging.refusals import refusing
from semihvision.core.record import ImageRef

PLANTED = "Doe^Jane"


def facts(image: ImageRef) -> dict[str, str]:
    return {fact.name: fact.value for fact in image.reading}


def grey(root: Path, image: ImageRef) -> np.ndarray[Any, Any]:
    shown = np.asarray(read_image(root, image))
    assert (shown == shown[..., :1]).all()
    return shown[..., 0]


def probed(root: Path, pixels: Any, **elements: Any) -> ImageRef:
    return probe_image(root, write_dicom(root / "x.dcm", pixels, **elements), image_id="i")


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


TEXT_VRS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
NEEDED = {"PhotometricInterpretation", "PresentationLUTShape", "VOILUTFunction", "ImageType"}


def planted() -> Dataset:
    """The name in every text element of the dictionary, in private elements and in a sequence."""
    dataset = dataset_of(ramp(), WindowCenter=5, WindowWidth=20)
    dataset.add_new(0x00090010, "LO", PLANTED)
    dataset.add_new(0x00091001, "LO", PLANTED)
    dataset.add_new(0x00091002, "UN", PLANTED.encode())
    item = Dataset()
    item.PatientName = PLANTED
    dataset.RequestAttributesSequence = Sequence([item])
    for tag, (vr, *_) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        # Groups 0-7 are for messages and file headers.
        if vr in TEXT_VRS and tag >> 16 > 7 and keyword and keyword not in NEEDED:
            dataset.add_new(tag, vr, PLANTED)
    return dataset


def test_no_text_of_a_header_travels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds the name in coded elements
        dataset = planted()
        assert len([e for e in dataset if e.value == PLANTED]) > 1000
        dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
        del dataset.PixelData
        dataset.save_as(tmp_path / "no_pixels.dcm", enforce_file_format=True)
        dataset = planted()
        dataset.PixelData = dataset.PixelData[:-2]
        dataset.save_as(tmp_path / "short.dcm", enforce_file_format=True)
    caplog.set_level(logging.DEBUG)
    caplog.clear()  # writing has warned, too
    capfd.readouterr()

    image = probe_image(tmp_path, "x.dcm", image_id="i")
    read_image(tmp_path, image)
    messages = []
    for name in ("no_pixels.dcm", "short.dcm"):
        with pytest.raises(InputError) as caught:
            probe_image(tmp_path, name, image_id="i")
        assert caught.value.__cause__ is None
        messages.append(str(caught.value))

    said = [image.model_dump_json(), *messages, caplog.text, *capfd.readouterr()]
    assert not [text for text in said if "Doe" in text or "Jane" in text]
    assert {fact.name for fact in image.reading} == {"photometric", "window"}


def test_a_thread_does_not_unmute_the_warnings_of_another() -> None:
    is_second_inside, is_first_outside = Event(), Event()

    def second() -> None:
        with refusing("x"):
            is_second_inside.set()
            is_first_outside.wait()
            warnings.warn(PLANTED, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        thread = Thread(target=second)
        with refusing("x"):
            thread.start()
            is_second_inside.wait(0.2)  # in vain: it must wait for the first to leave
        is_first_outside.set()
        thread.join()

    assert not shown


def test_the_listed_words_are_kept(tmp_path: Path) -> None:
    image = probed(
        tmp_path,
        ramp(),
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        ImageLaterality="L",
        WindowCenter=5,
        WindowWidth=20,
        PatientName=PLANTED,
    )

    assert image.view == "PA"
    assert facts(image) == {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "ImageLaterality": "L",
        "photometric": "MONOCHROME2",
        "window": "header, 1 of 1",
    }


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


def test_deflated_pixels_are_read(tmp_path: Path) -> None:
    dataset = dataset_of(ramp(dtype=np.uint8))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    image = probe_image(tmp_path, "x.dcm", image_id="i")
    np.testing.assert_array_equal(grey(tmp_path, image), ramp(dtype=np.uint8))
