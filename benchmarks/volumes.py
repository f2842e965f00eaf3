"""One-slice access to large volumes: how long a slice takes, and how often the volume is read.

Writes, into a temporary folder, a CT-like volume of 512 x 512 x SLICES (a body and air, both noisy)
as NIfTI.gz, as plain NIfTI, and as one multi-frame DICOM (uncompressed, RLE, JPEG 2000). Then, in a
fresh process each: the first `probe_image`, the mean of 40 `read_image` in random order (both by
the time the core worked, since other jobs change the time that passes), the growth of the process's
peak memory, and how often the packed file was unpacked. For comparison: nibabel without a cache
(each slice unpacks up to its place), and indexed_gzip where it is installed. Takes two minutes for
300 slices; prints a table and one JSON line.

    python benchmarks/volumes.py [SLICES]
"""

import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from semihvision.cli.output import print_table

SIZE = 512
READS = 40
FRAMES_COMPRESSED = 40
"""JPEG 2000 and RLE files are shorter: writing them takes long, reading a frame does not depend."""


def ct_like(slices: int) -> np.ndarray[Any, Any]:
    """(512, 512, slices) int16: a noisy body in less noisy air, so that it packs like a scan."""
    random = np.random.default_rng(0)
    x, y = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    body = (x / 0.4) ** 2 + (y / 0.3) ** 2 < 1
    volume = np.empty((slices, SIZE, SIZE), dtype=np.int16)
    for k in range(slices):
        noise = random.normal(0, 1, (SIZE, SIZE))
        volume[k] = np.where(body, 40 + k / 10 + 12 * noise, -1000 + 3 * noise)
    return volume.transpose(2, 1, 0)


def write_nifti(path: Path, volume: np.ndarray[Any, Any]) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-0.7, -0.7, 1, 1])), path)


def write_dicom(path: Path, volume: np.ndarray[Any, Any], syntax: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    uid = generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.Modality, dataset.PhotometricInterpretation = "CT", "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = volume.shape[2], SIZE, SIZE
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 1
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.PixelData = np.ascontiguousarray(volume.transpose(2, 1, 0)).tobytes()
    dataset["PixelData"].VR = "OW"
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def ours(path: Path, axis: str, slices: int, reads: int) -> dict[str, float]:
    from semihvision.core.images import probe_image, read_image
    from semihvision.core.imaging.volume_cache import UNPACKED

    start = time.process_time()
    probe_image(path.parent, path.name, image_id="i", axis=axis, index=slices // 2)
    first = time.process_time() - start
    images = [
        probe_image(path.parent, path.name, image_id="i", axis=axis, index=int(index))
        for index in np.random.default_rng(1).integers(0, slices, reads)
    ]
    start = time.process_time()
    for image in images:
        read_image(path.parent, image)
    each = (time.process_time() - start) / reads
    return {"first_s": first, "each_ms": each * 1000, "unpacked": UNPACKED.num_unpacked}


def by_nibabel(path: Path, axis: str, slices: int, reads: int) -> dict[str, float]:
    import nibabel

    # Without an opened file kept, as a reader that is asked for one slice at a time works.
    start = time.process_time()
    np.asarray(nibabel.load(path, keep_file_open=False).dataobj[..., slices // 2])
    first = time.process_time() - start
    start = time.process_time()
    for index in np.random.default_rng(1).integers(0, slices, reads):
        np.asarray(nibabel.load(path, keep_file_open=False).dataobj[..., int(index)])
    each = (time.process_time() - start) / reads
    return {"first_s": first, "each_ms": each * 1000, "unpacked": reads + 1}


def by_index(path: Path, axis: str, slices: int, reads: int) -> dict[str, float]:
    import indexed_gzip

    def one(index: int) -> None:
        file.seek(352 + index * SIZE * SIZE * 2)
        np.frombuffer(file.read(SIZE * SIZE * 2), dtype="<i2")

    start = time.process_time()
    file = indexed_gzip.IndexedGzipFile(path)
    file.build_full_index()
    one(slices // 2)
    first = time.process_time() - start
    start = time.process_time()
    for index in np.random.default_rng(1).integers(0, slices, reads):
        one(int(index))
    each = (time.process_time() - start) / reads
    return {"first_s": first, "each_ms": each * 1000, "unpacked": 1}


def in_a_fresh_process(read: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (read, *arguments))


def _measured(read: Callable[..., dict[str, float]], path: Path, *rest: Any) -> dict[str, float]:
    import nibabel
    import pydicom.pixels.decoders  # so that imports are counted neither as time nor as memory

    assert nibabel
    assert pydicom
    before = peak_mib()
    found = read(path, *rest)
    return {"file_mb": path.stat().st_size / 1e6, **found, "grown_mib": peak_mib() - before}


def peak_mib() -> float:
    """Of this process alone; `getrusage` would start from its parent's peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def main(slices: int) -> None:
    from pydicom.uid import JPEG2000Lossless, RLELossless

    few = min(slices, FRAMES_COMPRESSED)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root, volume = Path(folder), ct_like(slices)
        write_nifti(root / "x.nii.gz", volume)
        write_nifti(root / "x.nii", volume)
        write_dicom(root / "x.dcm", volume, "")
        write_dicom(root / "rle.dcm", volume[..., :few], RLELossless)
        write_dicom(root / "j2k.dcm", volume[..., :few], JPEG2000Lossless)
        packed = (root / "x.nii.gz", "axial", slices, READS)
        results["NIfTI.gz"] = in_a_fresh_process(ours, *packed)
        results["NIfTI.gz, sagittal"] = in_a_fresh_process(
            ours, root / "x.nii.gz", "sagittal", SIZE // 4, READS
        )
        results["NIfTI"] = in_a_fresh_process(ours, root / "x.nii", "axial", slices, READS)
        results["DICOM"] = in_a_fresh_process(ours, root / "x.dcm", "frame", slices, READS)
        for name in ("rle", "j2k"):
            results[f"DICOM {name}, {few} frames"] = in_a_fresh_process(
                ours, root / f"{name}.dcm", "frame", few, READS
            )
        results["nibabel without a cache"] = in_a_fresh_process(by_nibabel, *packed[:3], 5)
        try:
            results["indexed_gzip"] = in_a_fresh_process(by_index, *packed)
        except ImportError:
            print("indexed_gzip is not installed: left out")
    columns = ("file_mb", "first_s", "each_ms", "unpacked", "grown_mib")
    print_table(
        f"{READS} slices in random order, volume of {SIZE} x {SIZE} x {slices}",
        ("volume", *columns),
        [(name, *(f"{found[c]:.4g}" for c in columns)) for name, found in results.items()],
    )
    print(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
