"""NIfTI volumes: real files against SimpleITK, and files written for the purpose."""

import gzip
import logging
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nifti_files import phantom_lps, stored_as, write_nifti
from numpy.typing import NDArray

from semihvision.core.errors import InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging import nifti
from semihvision.core.imaging.nifti_header import volume_header
from semihvision.core.imaging.orientation import (
    SLICE_AXES,
    axis_code,
    shown_box,
    slice_of,
    stored_axis,
)
from semihvision.core.imaging.volume_cache import UNPACKED, VolumeCache
from semihvision.core.record import ImageRef

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
CODES = [
    "".join(("LR", "PA", "SI")[axis][flip] for axis, flip in zip(order, flips, strict=True))
    for order in permutations(range(3))
    for flips in product((0, 1), repeat=3)
]


def facts(image: ImageRef) -> dict[str, str]:
    return {fact.name: fact.value for fact in image.reading}


def grey(root: Path, image: ImageRef) -> NDArray[Any]:
    shown = np.asarray(read_image(root, image))
    assert (shown == shown[..., :1]).all()
    return shown[..., 0]


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


@settings(max_examples=100)
@given(code=st.sampled_from(CODES), axis=st.sampled_from(sorted(SLICE_AXES)), data=st.data())
def test_a_box_of_voxels_is_where_its_voxels_are_shown(
    code: str, axis: str, data: st.DataObject
) -> None:
    values, _ = stored_as(phantom_lps(), code)
    low = tuple(data.draw(st.integers(0, size - 1)) for size in values.shape)
    high = tuple(
        data.draw(st.integers(start + 1, size))
        for start, size in zip(low, values.shape, strict=True)
    )
    marked = np.zeros(values.shape, dtype=bool)
    marked[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True

    (first, last), (x0, y0, x1, y1) = shown_box(low, high, shape=values.shape, code=code, axis=axis)

    for index in range(values.shape[stored_axis(code, axis)]):
        shown = slice_of(marked, code, axis, index)
        expected = np.zeros_like(shown)
        if first <= index <= last:
            expected[int(y0) : int(y1), int(x0) : int(x1)] = True
        np.testing.assert_array_equal(shown, expected)


@settings(max_examples=100)
@given(angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3), code=st.sampled_from(CODES))
def test_oblique_axes_get_the_code_of_nibabel(angles: tuple[float, ...], code: str) -> None:
    """Rotations of up to half a radian about each axis; nibabel's codes are by the same sides."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    affine = np.eye(4)
    affine[:3, :3] = turn @ stored_as(phantom_lps(), code)[1][:3, :3]
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    ours = axis_code(np.diag([-1, -1, 1]) @ affine[:3, :3])

    if np.sort(cosines, axis=0)[-1].min() > 0.75:  # elsewhere the nearest axes are a matter of rule
        assert ours == "".join(nibabel.aff2axcodes(affine))


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


def test_a_packed_volume_is_unpacked_once_for_all_its_slices(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (8, 9, 12), dtype=np.int16)
    name = write_nifti(tmp_path / "x.nii.gz", noise)
    before = UNPACKED.num_unpacked
    for axis in SLICE_AXES:
        for index in range(8):
            read_image(tmp_path, probe_image(tmp_path, name, image_id="i", axis=axis, index=index))

    assert UNPACKED.num_unpacked == before + 1
    write_nifti(tmp_path / name, noise[:, :, :10])  # another file of that name
    read_image(tmp_path, probe_image(tmp_path, name, image_id="i", axis="axial", index=9))
    assert UNPACKED.num_unpacked == before + 2


def test_the_cache_forgets_the_least_recently_used(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(gzip.compress(name.encode() * 40))
    cache = VolumeCache(max_bytes=60)

    def get(name: str, size: int = 30) -> int:
        assert cache.get(tmp_path / name, skip=2, num_bytes=size) == name.encode() * size
        return cache.num_unpacked

    assert [get("a"), get("b"), get("a"), get("c"), get("a"), get("b")] == [1, 2, 2, 3, 3, 4]
    big = VolumeCache(max_bytes=3)  # the newest stays however large
    big.get(tmp_path / "d", skip=0, num_bytes=30)
    big.get(tmp_path / "d", skip=0, num_bytes=30)
    assert big.num_unpacked == 1


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 360), byte=st.integers(0, 255), packed=st.booleans())
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
