"""Unpacked volumes: each is unpacked once, the least recently used is forgotten."""

import gzip
from pathlib import Path

import numpy as np
from nifti_files import write_nifti

from semihvision.core.images import probe_image, read_image
from semihvision.core.imaging.orientation import (
    SLICE_AXES,
)
from semihvision.core.imaging.volume_cache import UNPACKED, VolumeCache


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
