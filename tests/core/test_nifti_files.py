"""Real NIfTI files against SimpleITK and nibabel."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from shown_images import facts, grey

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image
from semihvision.core.imaging import nifti
from semihvision.core.imaging.nifti_header import volume_header

FOLDER = "nibabel_test_data/nibabel/tests/data/"
REAL = {
    "anatomical.nii": ((33, 41, 25), 1),
    "example4d.nii.gz": ((128, 96, 24), 2),
    "example_nifti2.nii.gz": ((32, 20, 12), 2),
    "functional.nii": ((17, 21, 3), 20),
    "reoriented_anat_moved.nii": ((21, 26, 22), 1),
    "resampled_anat_moved.nii": ((17, 21, 3), 1),
    "standard.nii.gz": ((4, 5, 7), 1),
}


def itk_lps(path: Path) -> NDArray[Any]:
    """(volumes, X, Y, Z) as [left, back, head], by SimpleITK, which makes 0 of NaN."""
    sitk = pytest.importorskip("SimpleITK", reason="the independent reader is not installed")
    image = sitk.ReadImage(str(path))
    if image.GetDimension() == 3:
        volumes = [image]
    else:
        size = [*image.GetSize()[:3], 0]
        volumes = [
            sitk.Extract(image, size, [0, 0, 0, number]) for number in range(image.GetSize()[3])
        ]
    return np.stack(
        [sitk.GetArrayFromImage(sitk.DICOMOrient(volume, "LPS")).T for volume in volumes]
    )


def nibabel_lps(path: Path) -> NDArray[Any]:
    """The same by nibabel's own reading of values, scales and orientation."""
    image = nibabel.as_closest_canonical(nibabel.load(path))  # to the right, front and head
    values = np.nan_to_num(image.get_fdata())[::-1, ::-1]
    return values[None] if values.ndim == 3 else np.moveaxis(values, -1, 0)


READERS = [(name, nibabel_lps) for name in REAL] + [
    (name, itk_lps)
    for name in REAL
    if "nifti2" not in name  # SimpleITK does not read NIfTI-2
]


@pytest.mark.parametrize(("name", "reader"), READERS)
def test_a_real_file_gives_the_values_of_an_independent_reader(
    name: str, reader: Any, medical_files: Path
) -> None:
    path = medical_files / FOLDER / name
    header = volume_header(path, name)
    theirs = reader(path)

    assert (header.shape, header.volumes) == REAL[name]
    assert len(theirs) == header.volumes
    for volume in {0, header.volumes - 1}:
        ours = np.nan_to_num(nifti.lps_volume(path, name, volume=volume))
        np.testing.assert_allclose(ours, theirs[volume], rtol=1e-6)


@pytest.mark.parametrize("name", REAL)
def test_a_slice_of_each_axis_of_a_real_file_is_shown(name: str, medical_files: Path) -> None:
    path = medical_files / FOLDER / name
    volume = np.nan_to_num(nifti.lps_volume(path, name).astype(float), nan=-1e30)
    for axis, along in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        index = volume.shape[along] // 2
        image = probe_image(
            medical_files,
            FOLDER + name,
            image_id="i",
            axis=axis,
            index=index,
            window_center=float(np.median(volume)),
            window_width=100.0,
        )
        expected = volume.take(index, along).T
        if axis != "axial":
            expected = expected[::-1]
        low = np.median(volume) - 50
        levels = np.clip((expected - low) / 100, 0, 1) * 255
        finite = expected > -1e29
        assert np.abs(grey(medical_files, image) - levels)[finite].max() <= 0.5 + 1e-3


def test_known_values_of_the_real_files(medical_files: Path) -> None:
    def values(name: str) -> NDArray[Any]:
        path = medical_files / FOLDER / name
        count = volume_header(path, name).volumes
        return np.stack([nifti.lps_volume(path, name, volume=v) for v in range(count)])

    example, scaled = values("example4d.nii.gz"), values("functional.nii")
    assert (example.min(), example.max()) == (0, 1162)
    assert (round(scaled.min(), 2), round(scaled.max(), 2)) == (629.83, 5571.62)
    header = volume_header(medical_files / FOLDER / "example4d.nii.gz", "x")
    assert header.code == "LAS"
    assert header.spacing_mm == pytest.approx((2, 2, 2.2), abs=1e-4)


def test_values_that_are_no_numbers_are_counted_and_black(medical_files: Path) -> None:
    name = FOLDER + "resampled_anat_moved.nii"
    stored = nifti.lps_volume(medical_files / name, name)
    image = probe_image(medical_files, name, image_id="i", axis="axial", index=1)
    missing = np.isnan(stored[:, :, 1]).T

    assert missing.sum() > 0
    assert facts(image)["not_finite"] == f"{missing.sum()} values, shown as the smallest"
    shown = grey(medical_files, image)
    assert (shown[missing] == shown[~missing].min()).all()


@pytest.mark.parametrize("name", REAL)
def test_a_volume_without_a_chosen_slice_is_refused(name: str, medical_files: Path) -> None:
    for known in ({}, {"axis": "axial"}, {"axis": "frame", "index": 0}):
        with pytest.raises(InputError, match="a volume, and no slice is chosen") as caught:
            probe_image(medical_files, FOLDER + name, image_id="i", **known)
        assert caught.value.kind == "image_frames"
