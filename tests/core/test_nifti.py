"""NIfTI volumes written for the purpose: how their slices are shown."""

import gzip
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nifti_files import CODES, phantom_lps, stored_as, write_nifti
from shown_images import facts, grey

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging import nifti


@pytest.mark.parametrize("code", CODES)
def test_every_storage_order_is_shown_in_the_radiological_convention(
    code: str, tmp_path: Path
) -> None:
    """Patient's right at the left; front at the top (axial), head at the top otherwise."""
    lps = phantom_lps()
    values, affine = stored_as(lps, code)
    name = write_nifti(tmp_path / "x.nii", values, affine)
    np.testing.assert_array_equal(nifti.lps_volume(tmp_path / name, name), lps)
    for axis, index, expected, spacing in (
        ("axial", 0, lps[:, :, 0].T, (1, 2, 3)),
        ("axial", 9, lps[:, :, 9].T, (1, 2, 3)),
        ("coronal", 0, lps[:, 0, ::-1].T, (1, 3, 2)),
        ("sagittal", 0, lps[0, :, ::-1].T, (2, 3, 1)),
        ("sagittal", 5, lps[5, :, ::-1].T, (2, 3, 1)),
    ):
        image = probe_image(
            tmp_path,
            name,
            image_id="i",
            axis=axis,
            index=index,
            window_center=500.0,
            window_width=1000.0,
        )
        np.testing.assert_array_equal(grey(tmp_path, image), np.rint(expected / 1000 * 255))
        assert (image.orientation, image.spacing_mm) == (code, spacing)
        assert (image.height, image.width) == expected.shape


def test_slices_of_later_volumes_follow_and_each_has_its_window(tmp_path: Path) -> None:
    values = np.stack([phantom_lps(), phantom_lps() * 2], axis=-1)
    name = write_nifti(tmp_path / "x.nii.gz", values)
    first, second = (
        probe_image(tmp_path, name, image_id="i", axis="axial", index=index) for index in (0, 10)
    )

    assert facts(first)["volume"] == "1 of 2"
    assert facts(second) == {
        "window": "percentiles of the volume",
        "slice": "1 of 10",
        "volume": "2 of 2",
    }
    assert second.window_width == pytest.approx(2 * (first.window_width or 0))
    np.testing.assert_array_equal(grey(tmp_path, first), grey(tmp_path, second))
    with pytest.raises(InputError, match=r"slice 20 is chosen; expected 0 to 19 \(axial; 10 a"):
        probe_image(tmp_path, name, image_id="i", axis="axial", index=20)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_stored_types_and_scaled_integers(dtype: Any, packed: str, tmp_path: Path) -> None:
    values = (phantom_lps() // 8).astype(dtype)
    name = write_nifti(tmp_path / f"x.nii{packed}", values)
    data = bytearray((tmp_path / name).read_bytes())
    data = bytearray(gzip.decompress(data)) if packed else data
    data[112:120] = np.array([0.5, -10], dtype="<f4").tobytes()  # slope and intercept
    (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)

    image = probe_image(tmp_path, name, image_id="i", axis="axial", index=0)

    assert (image.rescale_slope, image.rescale_intercept) == (0.5, -10)
    np.testing.assert_allclose(
        nifti.lps_volume(tmp_path / name, name), values.astype(float) * 0.5 - 10
    )


def test_the_headers_display_range_is_its_window(tmp_path: Path) -> None:
    name = write_nifti(tmp_path / "x.nii", phantom_lps(), cal_min=100, cal_max=900)
    image = probe_image(tmp_path, name, image_id="i", axis="axial", index=0)

    assert (image.window_center, image.window_width) == (500, 800)
    assert facts(image)["window"] == "header, cal_min and cal_max"
    assert grey(tmp_path, image)[0, :2].tolist() == [255, round(500 / 800 * 255)]


def test_a_header_without_an_orientation_is_read_and_says_so(tmp_path: Path) -> None:
    name = write_nifti(tmp_path / "x.nii", phantom_lps())
    data = bytearray((tmp_path / name).read_bytes())
    data[252:256] = bytes(4)  # the codes of both transforms; nibabel would set one
    (tmp_path / name).write_bytes(data)
    image = probe_image(tmp_path, name, image_id="i", axis="axial", index=0)

    assert facts(image)["orientation"] == "assumed; the header states none"
    assert image.orientation == "LAS"


def test_no_text_of_a_header_travels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = dict.fromkeys(("descrip", "aux_file", "intent_name", "db_name"), b"Doe^Jane")
    name = write_nifti(tmp_path / "x.nii", phantom_lps(), **texts)
    data = (tmp_path / name).read_bytes()
    assert data.count(b"Doe^Jane") == 4
    (tmp_path / "short.nii").write_bytes(data[:400])
    caplog.set_level(logging.DEBUG)

    image = probe_image(tmp_path, name, image_id="i", axis="axial", index=0)
    read_image(tmp_path, image)
    with pytest.raises(InputError) as caught:
        probe_image(tmp_path, "short.nii", image_id="i", axis="axial", index=0)

    said = [image.model_dump_json(), str(caught.value), caplog.text, *capfd.readouterr()]
    assert not [text for text in said if "Doe" in text or "Jane" in text]
