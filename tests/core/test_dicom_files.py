"""Every DICOM file of pydicom's and nibabel's test data: the right pixels, or a clear refusal.

The table below is the whole of both folders. SimpleITK (GDCM) is the decoder that is not ours: none
of its code takes part in reading a file here.
"""

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging import dicom
from semihvision.core.imaging.orientation import upright
from semihvision.core.record import ImageRef

PYDICOM = "pydicom_test_files"
NIBABEL = "nibabel_test_data"


def names(prefix: str, words: str, suffix: str = "") -> list[str]:
    return [f"{prefix}{word}{suffix}" for word in words.split()]


CHARSETS = f"{PYDICOM}/src/pydicom/data/charset_files/"
FILES = f"{PYDICOM}/src/pydicom/data/test_files/"
DIRECTORIES = f"{FILES}dicomdirtests/"
NICOM = f"{NIBABEL}/nibabel/nicom/tests/data/"
NIFTI = f"{NIBABEL}/nibabel/tests/data/"

DECODED = [
    *names(
        CHARSETS + "chr",
        "Arab Fren FrenMulti Germ Greek H31 H32 Hbrw I2 Russ X1 X2",
        ".dcm",
    ),
    *names(
        FILES,
        "693_J2KI CT_small ExplVR_BigEnd GDCMJ2K_TextGBR J2K_pixelrep_mismatch JPEG-lossy JPEG2000 "
        "JPEGLSNearLossless_08 JPEGLSNearLossless_16 JPGExtended MR_small MR_small_RLE "
        "MR_small_bigendian MR_small_expb MR_small_implicit MR_small_jp2klossless "
        "MR_small_jpeg_ls_lossless MR_small_padded SC_jpeg_no_color_transform "
        "SC_jpeg_no_color_transform_2 SC_rgb_dcmtk_+eb+cr SC_rgb_dcmtk_+eb+cy+n1 "
        "SC_rgb_dcmtk_+eb+cy+n2 SC_rgb_dcmtk_+eb+cy+np SC_rgb_dcmtk_+eb+cy+s2 "
        "SC_rgb_dcmtk_+eb+cy+s4 SC_rgb_gdcm_KY SC_rgb_jls_lossy_line SC_rgb_jls_lossy_sample "
        "SC_rgb_jpeg SC_rgb_jpeg_app14_dcmd SC_rgb_jpeg_dcmd SC_rgb_jpeg_dcmtk SC_rgb_jpeg_gdcm "
        "SC_rgb_jpeg_lossy_gdcm SC_rgb_rle SC_rgb_rle_16bit SC_rgb_rle_32bit SC_rgb_small_odd "
        "SC_rgb_small_odd_big_endian SC_rgb_small_odd_jpeg SC_ybr_full_422_uncompressed "
        "examples_jpeg2k examples_overlay examples_palette examples_rgb_color image_dfl",
        ".dcm",
    ),
    *names(
        DIRECTORIES,
        "77654033/CR1/6154 77654033/CR2/6247 77654033/CR3/6278 77654033/CT2/17106 "
        "77654033/CT2/17136 77654033/CT2/17166 77654033/CT2/17196 98892001/CT2N/6293 "
        "98892001/CT2N/6924 98892001/CT5N/2062 98892001/CT5N/2392 98892001/CT5N/2693 "
        "98892001/CT5N/3023 98892001/CT5N/3353 98892003/MR1/15820 98892003/MR1/4919 "
        "98892003/MR1/5641 98892003/MR2/15970 98892003/MR2/4950 98892003/MR2/4981 "
        "98892003/MR2/5011 98892003/MR2/6273 98892003/MR2/6605 98892003/MR2/6935 "
        "98892003/MR700/4467 98892003/MR700/4528 98892003/MR700/4558 98892003/MR700/4588 "
        "98892003/MR700/4618 98892003/MR700/4648 98892003/MR700/4678",
    ),
    NICOM + "slicethickness_empty_string.dcm",
]
MULTI_FRAME = {
    **dict.fromkeys(
        names(FILES + "SC_rgb_rle_", "16bit_2frame 2frame 32bit_2frame", ".dcm"), 2
    ),
    FILES + "examples_ybr_color.dcm": 30,
}  # fmt: skip
"""Decoded frame by frame; refused (``image_frames``) where none is chosen."""

REFUSED = {
    # Reports, plans, doses, masks, waveforms, directories, and headers without pixel data.
    "not_an_image": [
        *names(
            CHARSETS + "chr",
            "JapMulti JapMultiExplicitIR6 KoreanMulti SQEncoding SQEncoding1",
            ".dcm",
        ),
        *names(
            FILES,
            "UN_sequence badVR empty_charset_LEI liver_1frame liver_expb_1frame "
            "meta_missing_tsyntax nested_priv_SQ no_meta_group_length priv_SQ reportsi "
            "reportsi_with_empty_number_tags rtdose rtdose_1frame rtdose_expb rtdose_expb_1frame "
            "rtdose_rle rtdose_rle_1frame rtplan rtplan_truncated test-SR waveform_ecg",
            ".dcm",
        ),
        *names(
            DIRECTORIES + "DICOMDIR", "-bigEnd -empty.dcm -implicit -nooffset -nopatient -reordered"
        ),
        DIRECTORIES + "DICOMDIR",
        DIRECTORIES + "TINY_ALPHA/DICOMDIR",
        *names(
            DIRECTORIES + "TINY_ALPHA/PT000000/ST000000/SE000000/IM0000",
            " ".join(f"0{c}" for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            + " 10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D",
        ),
        NICOM + "csa_slice_norm.dcm",
    ],
    # No preamble, pixel data too short or damaged, and files of other kinds.
    "unreadable_image": [
        *names(
            FILES,
            "ExplVR_BigEndNoMeta.dcm ExplVR_LitEndNoMeta.dcm no_meta.dcm rtstruct.dcm "
            "JPEG2000-embedded-sequence-delimiter.dcm MR_truncated.dcm README.txt crayons.icc "
            "rtplan.dump rtstruct.dump test1.json test_PN.json dicomdirtests/README.txt "
            "dicomdirtests/TINY_ALPHA/README",
        ),
        CHARSETS + "FileInfo.txt",
        f"{PYDICOM}/LICENSE",
        f"{NIBABEL}/COPYING",
    ],
    # Packed; the reader unpacks NIfTI only.
    "image_format": [
        FILES + "zipMR.gz",
        *names(NICOM, "philips_mprage siemens_dwi_0 siemens_dwi_1000", ".dcm.gz"),
    ],
    "mosaic_image": [NICOM + "0.dcm", NICOM + "1.dcm"],
    "constant_image": [NICOM + "decimal_rescale.dcm"],
}
IN_TEST_NIFTI_FILES = names(
    NIFTI,
    "anatomical.nii example4d.nii.gz example_nifti2.nii.gz functional.nii "
    "reoriented_anat_moved.nii resampled_anat_moved.nii standard.nii.gz",
)
SAME_PICTURE = {
    f"{FILES}SC_rgb_rle_{bits}bit{frames}.dcm": f"{FILES}SC_rgb_rle{frames}.dcm"
    for bits in (16, 32)
    for frames in ("", "_2frame")
} | {FILES + "SC_rgb_jpeg.dcm": FILES + "SC_rgb_jpeg_dcmd.dcm"}
"""Compared with another file of the same picture. RGB of 16 and 32 bits a channel: GDCM swaps red
and blue in these, and agrees on the file of 8 bits. SC_rgb_jpeg.dcm (JPEG in a header of the wrong
encoding): GDCM takes seven seconds to the same values; the other is its uncompressed form."""


def test_the_table_names_every_file_of_both_folders_once(medical_files: Path) -> None:
    found = {
        path.relative_to(medical_files).as_posix()
        for folder in (PYDICOM, NIBABEL)
        for path in (medical_files / folder).rglob("*")
        if path.is_file()
    }
    refused = [name for kind in REFUSED.values() for name in kind]
    listed = [*DECODED, *MULTI_FRAME, *refused, *IN_TEST_NIFTI_FILES]

    assert len(listed) == len(set(listed)) == 211
    assert set(listed) == found


@cache
def itk_frames(path: Path) -> Any:
    """(F, H, W) physical values, MONOCHROME1 inverted, or (F, H, W, 3) colours, by SimpleITK."""
    sitk = pytest.importorskip("SimpleITK", reason="the independent decoder is not installed")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    return array if image.GetDimension() == 3 else array[None]


def check_against_itk(root: Path, name: str, frame: int | None) -> None:
    known = {} if frame is None else {"axis": "frame", "index": frame}
    image = probe_image(root, name, image_id="i", **known)
    theirs = itk_frames(root / SAME_PICTURE.get(name, name))[frame or 0]
    if image.orientation:
        theirs = upright(theirs, rows=image.orientation[1], columns=image.orientation[0])
    ours = dicom.physical_values(root / name, name, frame)
    shown = np.asarray(read_image(root, image))

    assert shown.shape == (image.height, image.width, 3)
    assert ours.min() < ours.max()
    if facts(image)["photometric"] == "MONOCHROME1":
        assert np.ptp(ours + theirs) < 1e-9
    else:
        np.testing.assert_array_equal(ours, theirs)
    if ours.ndim == 3:
        np.testing.assert_array_equal(shown, theirs)


@pytest.mark.parametrize("name", DECODED)
def test_a_file_decodes_to_the_values_of_an_independent_decoder(
    name: str, medical_files: Path
) -> None:
    check_against_itk(medical_files, name, None)


@pytest.mark.parametrize("name", MULTI_FRAME)
def test_each_frame_decodes_and_none_is_read_unasked(name: str, medical_files: Path) -> None:
    for frame in {0, 1, MULTI_FRAME[name] - 1}:
        check_against_itk(medical_files, name, frame)
    for known in ({}, {"axis": "frame", "index": MULTI_FRAME[name]}):
        with pytest.raises(InputError, match=f"{MULTI_FRAME[name]} frames, and") as caught:
            probe_image(medical_files, name, image_id="i", **known)
        assert caught.value.kind == "image_frames"


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, listed in REFUSED.items() for name in listed]
)
def test_a_file_is_refused_for_its_reason(kind: str, name: str, medical_files: Path) -> None:
    with pytest.raises(InputError) as caught:
        probe_image(medical_files, name, image_id="i")

    assert caught.value.kind == kind
    assert str(caught.value).startswith(f"{name}: ")


def facts(image: ImageRef) -> dict[str, str]:
    return {fact.name: fact.value for fact in image.reading}


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("CT_small.dcm", 128 - 1024, 2191 - 1024),
        ("693_J2KI.dcm", -2971 - 1024, 2836 - 1024),
        ("MR_small.dcm", 127, 2145),
        ("examples_overlay.dcm", 0, 1123),
    ],
)
def test_known_ranges_of_values(
    name: str, lowest: float, highest: float, medical_files: Path
) -> None:
    values = dicom.physical_values(medical_files / FILES / name, name)

    assert (values.min(), values.max()) == (lowest, highest)


def test_eight_encodings_of_one_picture_are_one_picture(medical_files: Path) -> None:
    encodings = [name for name in DECODED if "/MR_small" in name]
    shown = [
        np.asarray(read_image(medical_files, probe_image(medical_files, n, image_id="i")))
        for n in encodings
    ]

    assert len(encodings) == 8
    for other in shown[1:]:
        np.testing.assert_array_equal(shown[0], other)


@pytest.mark.parametrize(
    ("name", "center", "width", "source"),
    [
        ("693_J2KI.dcm", 40, 100, "header, 1 of 1"),
        ("J2K_pixelrep_mismatch.dcm", 40, 100, "header, 1 of 3"),
        ("examples_overlay.dcm", 450, 790, "header, 1 of 2"),
        ("dicomdirtests/77654033/CR1/6154", 1600, 2800, "header, 1 of 1"),
    ],
)
def test_the_window_is_recorded_with_its_source(
    name: str, center: float, width: float, source: str, medical_files: Path
) -> None:
    image = probe_image(medical_files, FILES + name, image_id="i")

    assert (image.window_center, image.window_width) == (center, width)
    assert facts(image)["window"] == source


def test_monochrome1_is_inverted_after_the_window(medical_files: Path) -> None:
    name = DIRECTORIES + "77654033/CR1/6154"
    image = probe_image(medical_files, name, image_id="i")
    physical = dicom.physical_values(medical_files / name, name)  # 0.684 * stored + 200

    expected = 255 - np.clip((physical - 1599.5) / 2799 + 0.5, 0, 1) * 255
    assert facts(image)["inverted"] == "yes"
    shown = np.asarray(read_image(medical_files, image))[..., 0].astype(float)
    assert np.abs(shown - expected).max() <= 0.5 + 1e-9


def test_slope_and_intercept_as_decimal_strings(medical_files: Path) -> None:
    """All its stored values are 0, so that it is refused as an image; its scale is 2, -4096."""
    name = NICOM + "decimal_rescale.dcm"

    assert (dicom.physical_values(medical_files / name, name) == -4096).all()


def test_packed_files_are_what_they_are_when_unpacked(medical_files: Path, tmp_path: Path) -> None:
    for name in REFUSED["image_format"]:
        unpacked = gzip.decompress((medical_files / name).read_bytes())
        (tmp_path / Path(name).stem).write_bytes(unpacked)

    for name in ("siemens_dwi_0.dcm", "siemens_dwi_1000.dcm"):
        with pytest.raises(InputError, match="a mosaic of slices"):
            probe_image(tmp_path, name, image_id="i")
    with pytest.raises(InputError, match=r"philips_mprage\.dcm: 176 frames, and none is chosen"):
        probe_image(tmp_path, "philips_mprage.dcm", image_id="i")
    frame = dicom.physical_values(tmp_path / "philips_mprage.dcm", "x", 175)
    assert frame.shape == (256, 256)
    assert not frame.any()  # emptied for publication; so each frame is refused as constant
    np.testing.assert_array_equal(
        dicom.physical_values(tmp_path / "zipMR", "x"),
        dicom.physical_values(medical_files / FILES / "MR_small.dcm", "x"),
    )


def test_truncated_pixel_data_fail_loudly(medical_files: Path) -> None:
    with pytest.raises(InputError, match=r"MR_truncated\.dcm: .*damaged"):
        probe_image(medical_files, FILES + "MR_truncated.dcm", image_id="i")
