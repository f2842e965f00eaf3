"""Axes of a volume: their codes, and where a box of voxels is shown."""

import nibabel
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_files import CODES, phantom_lps, stored_as

from semihvision.core.imaging.orientation import (
    SLICE_AXES,
    axis_code,
    shown_box,
    slice_of,
    stored_axis,
)


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
