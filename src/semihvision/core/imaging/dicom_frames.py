"""Decoding one frame of a DICOM file: to stored values, or to RGB, turned upright."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from semihvision.core.errors import InputError
from semihvision.core.imaging import MAX_PIXELS, codestreams
from semihvision.core.imaging.dicom_header import DEFLATED, PHOTOMETRICS, numbers, of_frame
from semihvision.core.imaging.orientation import axis_code, upright
from semihvision.core.imaging.windowing import apply_table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset


class Frame(NamedTuple):
    """One decoded frame before its window.

    Attributes:
        values: (H, W) stored values after a modality table, or (H, W, 3) RGB, as stored upright.
        padding: (H, W) bool, True where the scanner filled up; None if it says nothing.
    """

    values: "NDArray[Any]"
    padding: "NDArray[Any] | None"


def chosen_frame(dataset: "Dataset", name: str, known: dict[str, Any]) -> int:
    """The frame, from 0, that the fields of an `ImageRef` name (axis ``frame``, index).

    Raises:
        InputError: The file has several frames and none is named, or one that it does not have.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    chosen = known.get("index") if known.get("axis") == "frame" else None
    if frames == 1 and chosen is None:
        return 0
    if chosen is None or not 0 <= chosen < frames:
        found = "none is chosen" if chosen is None else f"frame {chosen} is chosen"
        raise InputError(
            f"{name}: {frames} frames, and {found}; expected axis 'frame' and an index from 0 to "
            f"{frames - 1} in its record",
            kind="image_frames",
        )
    return int(chosen)


def decoded_frame(path: Path, dataset: "Dataset", name: str, frame: int) -> Frame:
    """Decodes one frame: to RGB, or to stored values after a modality table; upright."""
    import numpy as np

    pixels = _pixels(path, dataset, name, frame)
    padding = None
    if pixels.ndim == 3:
        pixels = _to_8_bit(pixels, int(dataset.BitsStored))
    elif dataset.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
        pixels = _to_8_bit(apply_color_lut(pixels, dataset), bits)
    else:
        padding = _padding(dataset, pixels)
        if dataset.get("ModalityLUTSequence"):
            table, first, _ = lookup_table(dataset, dataset.ModalityLUTSequence[0])
            pixels = apply_table(pixels, table, first)
        pixels = pixels.astype(np.float64)
    code = axes_of(dataset, frame)
    if code:
        pixels = upright(pixels, rows=code[1], columns=code[0])
        padding = None if padding is None else upright(padding, rows=code[1], columns=code[0])
    return Frame(np.ascontiguousarray(pixels), padding)


def _pixels(path: Path, dataset: "Dataset", name: str, frame: int) -> "NDArray[Any]":
    """Reads and decodes the bytes of one frame, by the place where the header says they are."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import as_pixel_options

    _refuse_by_header(dataset, name)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == DEFLATED:
        return get_decoder(syntax).as_array(dataset, index=frame, **as_pixel_options(dataset))[0]
    deferred: Any = dataset.get_item("PixelData", keep_deferred=True)
    options = as_pixel_options(dataset, transfer_syntax_uid=syntax, pixel_keyword="PixelData")
    if deferred.VR in ("OB", "OW"):
        options["pixel_vr"] = deferred.VR
    with path.open("rb") as file:
        file.seek(deferred.value_tell)
        if syntax.is_compressed:
            options["decoding_plugin"] = _plugin(syntax, name)
            _refuse_another_size(file, dataset, name, frame)
        return get_decoder(syntax).as_array(file, index=frame, **options)[0]


def _plugin(syntax: str, name: str) -> str:
    if syntax not in codestreams.PLUGINS:
        raise InputError(
            f"{name}: no decoder for its compression; expected one of JPEG, JPEG-LS, JPEG 2000, "
            "RLE: convert it",
            kind="image_format",
        )
    codestreams.register()
    return codestreams.PLUGINS[syntax]


def _refuse_by_header(dataset: "Dataset", name: str) -> None:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows * columns > MAX_PIXELS:
        raise InputError(
            f"{name}: {columns} x {rows} pixels; at most {MAX_PIXELS} are read: reduce or crop it",
            kind="image_too_large",
        )
    if rows * columns == 0 or dataset.PhotometricInterpretation not in PHOTOMETRICS:
        raise InputError(
            f"{name}: header without rows, columns or a known photometric interpretation",
            kind="unreadable_image",
        )


def _refuse_another_size(file: BinaryIO, dataset: "Dataset", name: str, frame: int) -> None:
    """A small code stream may claim gigapixels; the decoders would believe it, not the header."""
    from pydicom.encaps import get_frame

    if dataset.file_meta.TransferSyntaxUID == codestreams.RLE:
        return  # run lengths state no size and grow at most 64 times
    offsets = dataset.get("ExtendedOffsetTable")
    stream = get_frame(
        file,
        frame,
        extended_offsets=(offsets, dataset.ExtendedOffsetTableLengths) if offsets else None,
        number_of_frames=int(dataset.get("NumberOfFrames") or 1),
    )
    size = codestreams.stream_size(stream)
    if size != (dataset.Columns, dataset.Rows):
        found = "no size" if size is None else f"{size.width} x {size.height} pixels"
        raise InputError(
            f"{name}: its compressed data state {found}, its header {dataset.Columns} x "
            f"{dataset.Rows}; a damaged file",
            kind="unreadable_image",
        )


def _to_8_bit(colour: "NDArray[Any]", bits: int) -> "NDArray[Any]":
    """The eight highest bits: right for 16-bit entries made by times 256 and by times 257."""
    import numpy as np

    shifted: NDArray[Any] = (colour >> (bits - 8)).astype(np.uint8)
    return shifted


def _padding(dataset: "Dataset", stored: "NDArray[Any]") -> "NDArray[Any] | None":
    if dataset.get("PixelPaddingValue") is None:
        return None
    one = int(dataset.PixelPaddingValue)
    other = int(dataset.get("PixelPaddingRangeLimit", one))
    padded: NDArray[Any] = (stored >= min(one, other)) & (stored <= max(one, other))
    return padded


def lookup_table(dataset: "Dataset", item: "Dataset") -> tuple["NDArray[Any]", int, int]:
    """Entries, first input value and bits an entry of a modality or VOI table."""
    import numpy as np

    length, first, bits = (int(value) for value in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        data = np.frombuffer(data, dtype=f"{order}u2")
    entries = np.asarray(data, dtype=np.float64)[: length or 2**16]
    return entries, first, bits


def axes_of(dataset: "Dataset", frame: int) -> str:
    """Axis code of columns, rows and slices; empty for a picture without an orientation."""
    import numpy as np

    cosines = numbers(
        of_frame(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    )
    if len(cosines) != 6:
        return ""
    columns, rows = np.array(cosines[:3]), np.array(cosines[3:])
    return axis_code(np.stack([columns, rows, np.cross(columns, rows)], axis=1))
