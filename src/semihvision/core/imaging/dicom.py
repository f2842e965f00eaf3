"""DICOM images: one frame of a file to 8-bit pixels in the radiological convention.

The order of the standard (PS3.4 N.2): stored values, modality table or rescale slope and intercept,
VOI table or window, inversion. `probe` decides everything that is a choice and writes it into the
`ImageRef`; `read` repeats it. Choices, and where the record says so (`ImageRef.reading`):

- several windows: the first that is usable; then the first VOI table; 8-bit grey without either as
  stored; else a window from the frame's own values (`windowing.PERCENTILES`), padding left out.
- MONOCHROME1, or the presentation table INVERSE: inverted after the window.
- palette and YBR become RGB; colour of more than 8 bits is scaled to 8. Colour profiles and overlay
  planes are not applied.
- several frames: the record names one (axis ``frame``). A constant frame is refused.
- a slice with an orientation is turned upright (`orientation`), to the nearest axes; width, height
  and spacing are those of the turned picture. Without one (radiographs) it is left as stored.

Files need the preamble of the standard; without it their encoding would be a guess.
"""

from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semihvision.core.errors import InputError
from semihvision.core.imaging.dicom_frames import (
    Frame,
    axes_of,
    chosen_frame,
    decoded_frame,
    lookup_table,
)
from semihvision.core.imaging.dicom_header import header, kept_words, numbers, of_frame
from semihvision.core.imaging.orientation import is_transposed
from semihvision.core.imaging.refusals import constant, refusing
from semihvision.core.imaging.windowing import (
    apply_table,
    apply_window,
    window_of_values,
)
from semihvision.core.record import Attribute, ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_FUNCTIONS = {
    "": "linear",
    "LINEAR": "linear",
    "LINEAR_EXACT": "linear_exact",
    "SIGMOID": "sigmoid",
}


def is_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are those of a DICOM file."""
    return head[128:132] == b"DICM"


def probe(path: Path, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Checks that a frame decodes and describes how it is shown.

    Args:
        path: The file.
        name: What messages call it.
        known: Fields of `ImageRef` that are known already; ``index`` with axis ``frame`` chooses
            the frame, a window there takes the place of the header's.

    Returns:
        Further fields of `ImageRef`; those in `known` win.

    Raises:
        InputError: Not an image, damaged, too large, of several frames with none chosen, constant,
            or of a compression without a decoder.
    """
    dataset = header(path, name)
    with refusing(name):
        number = chosen_frame(dataset, name, known)
        frame = decoded_frame(path, dataset, name, number)
        if frame.values.min() == frame.values.max():
            raise constant(name)
        reading = {**kept_words(dataset), **_facts(dataset)}
        view = reading.pop("ViewPosition", "")
        fields: dict[str, Any] = {}
        if frame.values.ndim == 2:
            slope, intercept = _rescale(dataset, number)
            fields = {"rescale_slope": slope, "rescale_intercept": intercept}
            window, reading["window"] = _window(dataset, number, frame, {**known, **fields}, name)
            fields |= window
        code = axes_of(dataset, number)
        height, width = frame.values.shape[:2]
        return fields | {
            "width": width,
            "height": height,
            "orientation": code,
            "spacing_mm": _spacing(dataset, number, code),
            "view": view,
            "reading": tuple(Attribute(name=k, value=v) for k, v in reading.items()),
        }


def glance(path: Path, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Width and height as shown, by the header alone; arguments and errors as for `probe`."""
    dataset = header(path, name)
    with refusing(name):
        number = chosen_frame(dataset, name, known)
        code = axes_of(dataset, number)
        size = int(dataset.Columns), int(dataset.Rows)
        if code and is_transposed(rows=code[1], columns=code[0]):
            size = size[::-1]
        return {"width": size[0], "height": size[1]}


def read(path: Path, image: ImageRef) -> "NDArray[Any]":
    """One frame as it is shown.

    Args:
        path: The file.
        image: As `probe` described it.

    Returns:
        (H, W) or (H, W, 3) uint8.

    Raises:
        InputError: As `probe`, but for a constant frame; or the record states no window and the
            header has none.
    """
    dataset = header(path, image.path)
    with refusing(image.path):
        frame = chosen_frame(dataset, image.path, {"axis": image.axis, "index": image.index})
        values = decoded_frame(path, dataset, image.path, frame).values
        if values.ndim == 3:
            return values
        shown = _windowed(dataset, frame, values, image)
        inverse = dataset.get("PresentationLUTShape") == "INVERSE"
        if dataset.PhotometricInterpretation == "MONOCHROME1" or inverse:
            shown = 255 - shown
    return shown


def _windowed(
    dataset: "Dataset", frame: int, stored: "NDArray[Any]", image: ImageRef
) -> "NDArray[Any]":
    import numpy as np

    physical = stored * image.rescale_slope + image.rescale_intercept
    if image.window_center is not None and image.window_width is not None:
        function = _function(dataset, frame)
        return apply_window(
            physical, center=image.window_center, width=image.window_width, function=function
        )
    if dataset.get("VOILUTSequence"):
        table, first, bits = lookup_table(dataset, dataset.VOILUTSequence[0])
        shown = apply_table(physical, table, first) / (2**bits - 1) * 255
        levels: NDArray[Any] = np.rint(np.clip(shown, 0, 255)).astype(np.uint8)
        return levels
    if _is_8_bit(dataset):
        return stored.astype(np.uint8)
    raise InputError(
        f"{image.path}: no display window in its record and none in its header",
        kind="image_depth",
    )


def physical_values(path: Path, name: str, frame: int | None = None) -> "NDArray[Any]":
    """A frame's physical values (HU for CT), upright: (H, W) float64, or (H, W, 3) uint8 colour.

    Args:
        path: The file.
        name: What messages call it.
        frame: From 0; None for a file of one frame.
    """
    dataset = header(path, name)
    with refusing(name):
        chosen = chosen_frame(dataset, name, {"axis": "frame", "index": frame})
        values = decoded_frame(path, dataset, name, chosen).values
        slope, intercept = _rescale(dataset, chosen)
    return values if values.ndim == 3 else values * slope + intercept


def _rescale(dataset: "Dataset", frame: int) -> tuple[float, float]:
    if dataset.get("ModalityLUTSequence"):
        return 1.0, 0.0
    group = "PixelValueTransformationSequence"
    slope = numbers(of_frame(dataset, frame, group, "RescaleSlope")) or (1.0,)
    intercept = numbers(of_frame(dataset, frame, group, "RescaleIntercept")) or (0.0,)
    if slope[0] == 0 or not isfinite(slope[0] * intercept[0]):
        raise ValueError("a scale that is no scale")  # refused as damage
    return slope[0], intercept[0]


def _function(dataset: "Dataset", frame: int) -> str:
    """How the window maps; an unknown word raises KeyError, which is refused as damage."""
    return _FUNCTIONS[str(of_frame(dataset, frame, "FrameVOILUTSequence", "VOILUTFunction") or "")]


def _window(
    dataset: "Dataset", number: int, frame: Frame, known: dict[str, Any], name: str
) -> tuple[dict[str, float], str]:
    """The window to record, and in words where it is from."""
    if known.get("window_center") is not None:
        return {}, "given"
    centers = numbers(of_frame(dataset, number, "FrameVOILUTSequence", "WindowCenter"))
    widths = numbers(of_frame(dataset, number, "FrameVOILUTSequence", "WindowWidth"))
    smallest = 1.0 if _function(dataset, number) == "linear" else 1e-6
    for place, (center, width) in enumerate(zip(centers, widths, strict=False), start=1):
        if isfinite(center) and smallest <= width < inf:
            return _as_fields(center, width), f"header, {place} of {len(centers)}"
    if dataset.get("VOILUTSequence"):
        return {}, f"VOI table, 1 of {len(dataset.VOILUTSequence)}"
    slope, intercept = known["rescale_slope"], known["rescale_intercept"]
    if _is_8_bit(dataset) and (slope, intercept) == (1.0, 0.0):
        return {}, "none: 8 bits as stored"
    values = frame.values
    if frame.padding is not None and not frame.padding.all():
        values = values[~frame.padding]
    chosen = window_of_values(values * slope + intercept)
    if chosen is None:
        raise constant(name)
    return _as_fields(*chosen), "percentiles of the values"


def _as_fields(center: float, width: float) -> dict[str, float]:
    return {"window_center": center, "window_width": width}


def _is_8_bit(dataset: "Dataset") -> bool:
    return bool(
        dataset.BitsStored == 8
        and dataset.get("PixelRepresentation", 0) == 0
        and not dataset.get("ModalityLUTSequence")
    )


def _spacing(dataset: "Dataset", frame: int, code: str) -> tuple[float, ...]:
    down_across = numbers(of_frame(dataset, frame, "PixelMeasuresSequence", "PixelSpacing"))
    if len(down_across) != 2:
        return ()
    if code and is_transposed(rows=code[1], columns=code[0]):
        return down_across
    return down_across[::-1]


def _facts(dataset: "Dataset") -> dict[str, str]:
    """What was done to the values, in words of ours; goes into the record."""
    facts = {"photometric": str(dataset.PhotometricInterpretation)}
    if facts["photometric"] == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        facts["inverted"] = "yes"
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        facts["frames"] = str(int(dataset.NumberOfFrames))
    if dataset.get("ModalityLUTSequence"):
        facts["modality_table"] = "applied"
    if (0x6000, 0x3000) in dataset:
        facts["overlay"] = "not drawn"
    return facts
