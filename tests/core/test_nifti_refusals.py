"""NIfTI files that cannot be used: what is refused, and with which words."""

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nifti_files import phantom_lps, write_nifti

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging.volume_cache import UNPACKED


def test_constant_slices_are_refused(tmp_path: Path) -> None:
    name = write_nifti(tmp_path / "x.nii", phantom_lps())
    empty = write_nifti(tmp_path / "y.nii", np.full((4, 4, 4), np.nan, np.float32))

    for refused, index in ((name, 5), (empty, 0)):
        with pytest.raises(InputError, match="every pixel has the same value") as caught:
            probe_image(tmp_path, refused, image_id="i", axis="axial", index=index)
        assert caught.value.kind == "constant_image"


@pytest.mark.parametrize(
    ("shape", "name", "kind"),
    [
        ((30000, 30000, 3), "x.nii", "image_too_large"),
        ((2000, 2000, 600), "x.nii.gz", "image_too_large"),  # 4.8 GB
        ((512, 512, 300), "x.nii.gz", "unreadable_image"),  # in a kilobyte
        ((6, 8, 11), "x.nii", "unreadable_image"),
        ((6, -8, 10), "x.nii", "image_format"),
        ((0, 8, 10), "x.nii", "image_format"),
    ],
)
def test_claims_of_the_header_are_checked_before_anything_is_read(
    shape: tuple[int, ...], name: str, kind: str, tmp_path: Path
) -> None:
    write_nifti(tmp_path / "x.nii", phantom_lps())
    data = bytearray((tmp_path / "x.nii").read_bytes())
    data[40:48] = np.array([3, *shape], dtype="<i2").tobytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    before = UNPACKED.num_unpacked

    with pytest.raises(InputError) as caught:
        probe_image(tmp_path, name, image_id="i", axis="axial", index=0)
    assert caught.value.kind == kind
    assert UNPACKED.num_unpacked == before


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    for name in ("x.nii", "x.nii.gz"):
        noise = np.random.default_rng(0).integers(0, 999, (16, 16, 16), dtype=np.int16)
        write_nifti(tmp_path / name, noise)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match=f"{name}: ") as caught:
            probe_image(tmp_path, name, image_id="i", axis="axial", index=0)
        assert caught.value.kind == "unreadable_image"


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_values_that_are_no_real_numbers_are_refused(dtype: Any, tmp_path: Path) -> None:
    name = write_nifti(tmp_path / "x.nii", np.zeros((4, 4, 4), dtype))

    with pytest.raises(InputError, match="that are not real numbers") as caught:
        probe_image(tmp_path, name, image_id="i", axis="axial", index=0)
    assert caught.value.kind == "image_format"


def test_values_too_far_apart_for_a_window_are_refused(tmp_path: Path) -> None:
    values = phantom_lps().astype(np.float64)
    values[:3], values[3:] = -1.7e308, 1.7e308
    name = write_nifti(tmp_path / "x.nii", values)

    with pytest.raises(InputError) as caught:
        probe_image(tmp_path, name, image_id="i", axis="axial", index=0)
    assert caught.value.kind == "unreadable_image"


def test_values_in_a_file_of_their_own_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(phantom_lps(), np.eye(4)), tmp_path / "x.img")

    with pytest.raises(InputError, match=r"x\.hdr: NIfTI with values in a file of their own"):
        probe_image(tmp_path, "x.hdr", image_id="i", axis="axial", index=0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 360), byte=st.integers(0, 255), packed=st.booleans())
@example(place=315, byte=69, packed=False)  # two axes of one direction
def test_damage_anywhere_is_a_refusal_or_a_picture(
    place: int, byte: int, packed: bool, tmp_path: Path
) -> None:
    write_nifti(tmp_path / "x.nii", phantom_lps())
    data = bytearray((tmp_path / "x.nii").read_bytes())
    data[place] = byte
    (tmp_path / "y.nii").write_bytes(gzip.compress(data) if packed else data)

    refusal = ""
    try:
        image = probe_image(tmp_path, "y.nii", image_id="i", axis="axial", index=0)
    except InputError as error:
        refusal = str(error)

    if refusal:
        assert refusal.startswith("y.nii: ")
    else:
        assert read_image(tmp_path, image).size == (image.width, image.height)
