"""A DICOM header without its pixels: opened, judged, and reduced to what may travel.

A header holds the patient. Nothing of it goes into a record but numbers that describe the pixels,
and words out of the closed lists here; a value that is not in its list is left out. Error messages
name elements of the standard, never values, and pydicom's warnings, which quote values, are muted.
"""

import logging
import os
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semihvision.core.errors import InputError
from semihvision.core.imaging.refusals import refusing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_INFLATED_BYTES = 2**29
"""Deflated files are read whole; one that grows beyond half a gigabyte is refused unread."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NOT_IMAGES = _words(
    "RTDOSE RTPLAN RTSTRUCT RTRECORD RTINTENT RTSEGANN SEG SR KO PR REG FID RWV PLAN DOC ECG EPS "
    "HD RESP AU ANN SMR STAIN TEXTUREMAP M3D OSS ASMT CFM"
)  # fmt: skip
"""Modalities whose objects are no pictures of a patient, whether they hold pixel data or not."""

_NOT_IMAGE_CLASSES = {
    "1.2.840.10008.1.3.10": "a directory file (DICOMDIR)",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation (a mask)",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map",
}
"""SOP classes of the same kind, for headers that state no modality."""

_IMAGE_MODALITIES = _words(
    "AR BI BMD CR CT CTPROTOCOL DG DMS DX EC ES GM IO IVOCT IVUS LS MA MG MR NM OAM OCT OP OPM OPR "
    "OPT OPTBSV OPTENF OPV OT PA PT PX RF RG RTIMAGE SM TG US VA XA XC"
)  # fmt: skip
_KEPT_WORDS = {
    "Modality": _IMAGE_MODALITIES,
    "Laterality": frozenset("RLUB"),
    "ImageLaterality": frozenset("RLUB"),
    "ViewPosition": _words(
        "AP PA LL RL RLD LLD RLO LLO CC MLO ML LM LMO XCC XCCL XCCM FB SIO ISO CV AT"
    ),
    "BodyPartExamined": _words(
        "ABDOMEN ANKLE ARM BLADDER BRAIN BREAST CHEST CLAVICLE COCCYX CSPINE ELBOW EXTREMITY EYE "
        "FEMUR FINGER FOOT HAND HEAD HEART HIP JAW KIDNEY KNEE LEG LIVER LSPINE NECK PANCREAS "
        "PELVIS PROSTATE SHOULDER SKULL SPINE SSPINE STERNUM TOE TSPINE UTERUS WRIST"
    ),
}  # fmt: skip
"""The only words that leave a header, by element: code values of the standard."""

PHOTOMETRICS = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422",
     "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
)  # fmt: skip


def header(path: Path, name: str) -> "Dataset":
    """Opens an image file's header; the pixels stay on the disk.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        InputError: Unreadable, or not an image (report, plan, dose, mask, waveform, directory).
    """
    with refusing(name):
        stat = path.stat()
        dataset = _parsed(path, stat.st_mtime_ns, stat.st_size)
        _refuse_non_images(dataset, name)
    return dataset


@lru_cache(maxsize=4)
def _parsed(path: Path, _modified: int, _size: int) -> "Dataset":
    """Cached, since slices of one file are read in a row and an enhanced header is long."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DEFLATED:
        _refuse_a_bomb(path)
        return pydicom.dcmread(path)  # its pixels cannot stay on the disk
    return pydicom.dcmread(path, defer_size=2**16)


def _refuse_a_bomb(path: Path) -> None:
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        # 128 bytes, "DICM", and the length of the only group that is not deflated, as 12 bytes.
        file.seek(140)
        file.seek(struct.unpack("<I", file.read(4))[0], os.SEEK_CUR)
        while data := file.read(2**16):
            while data:
                total += len(inflater.decompress(data, 2**20))
                data = inflater.unconsumed_tail
                if total > MAX_INFLATED_BYTES:
                    raise InputError(
                        f"{path.name}: deflated, and more than {MAX_INFLATED_BYTES} bytes long; "
                        "store it uncompressed",
                        kind="image_too_large",
                    )


def _refuse_non_images(dataset: "Dataset", name: str) -> None:
    modality = str(dataset.get("Modality", ""))
    meta_class = dataset.file_meta.get("MediaStorageSOPClassUID", "")
    found = _NOT_IMAGE_CLASSES.get(str(dataset.get("SOPClassUID", "") or meta_class), "")
    if modality in NOT_IMAGES:
        found = f"an object of modality {modality}"
    elif not found and not ("PixelData" in dataset and "Rows" in dataset):
        found = (
            "an object without pixel data"
            if "Rows" not in dataset
            else "an image without its pixel data"
        )
    if found:
        raise InputError(f"{name}: DICOM, but {found}; expected an image", kind="not_an_image")
    if "MOSAIC" in dataset.get("ImageType", ()):
        raise InputError(
            f"{name}: a mosaic of slices in one picture; expected one slice: convert it to NIfTI",
            kind="mosaic_image",
        )


def kept_words(dataset: "Dataset") -> dict[str, str]:
    """The words of the header that may travel, by name of their element."""
    found = {element: str(dataset.get(element, "")) for element in _KEPT_WORDS}
    return {element: word for element, word in found.items() if word in _KEPT_WORDS[element]}


def of_frame(dataset: "Dataset", frame: int, group: str, element: str) -> Any:
    """An element that may stand in the frame's functional groups, the shared ones, or the header.

    Args:
        dataset: The header.
        frame: From 0.
        group: Sequence that holds the element in the functional groups.
        element: Its keyword.

    Returns:
        None if it is absent or empty in all three.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for groups in (*per_frame[frame : frame + 1], *shared):
        for item in groups.get(group) or ():
            if item.get(element) not in (None, ""):
                return item.get(element)
    value = dataset.get(element)
    return None if value in (None, "") else value


def numbers(value: Any) -> tuple[float, ...]:
    """One or several decimal strings as floats; empty for None."""
    if value is None:
        return ()
    if isinstance(value, (str, int, float)):
        return (float(value),)
    return tuple(float(part) for part in value)
