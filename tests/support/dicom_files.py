"""Small DICOM files written for tests."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from semihvision.core.images import probe_image
from semihvision.core.record import ImageRef


def dataset_of(pixels: NDArray[Any], **elements: Any) -> Dataset:
    """An uncompressed dataset: (H, W) grey, (F, H, W) with NumberOfFrames, (H, W, 3) colour."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    colour = pixels.ndim == 3 and "NumberOfFrames" not in elements
    shape = pixels.shape[:2] if colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def write_dicom(path: Path, pixels: NDArray[Any], **elements: Any) -> str:
    """Writes such a dataset and returns the file's name."""
    dataset_of(pixels, **elements).save_as(path, enforce_file_format=True)
    return path.name


def ramp(height: int = 4, width: int = 5, dtype: Any = np.int16) -> NDArray[Any]:
    """A picture in which every pixel differs."""
    return np.arange(height * width, dtype=dtype).reshape(height, width)


def probed(root: Path, pixels: Any, **elements: Any) -> ImageRef:
    """The image of a file of these pixels."""
    return probe_image(root, write_dicom(root / "x.dcm", pixels, **elements), image_id="i")
