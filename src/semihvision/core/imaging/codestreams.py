"""Compressed DICOM frames: which decoder decodes them, and what size they claim before it does.

Decoders, fixed by transfer syntax so that results do not depend on what else is installed:

| transfer syntax | decoder | licence |
|---|---|---|
| JPEG baseline, 8 bit | Pillow (libjpeg-turbo) | MIT-CMU |
| JPEG extended (12 bit), JPEG lossless | imagecodecs (libjpeg-turbo) | BSD-3 |
| JPEG-LS | pyjpegls (CharLS) | MIT |
| JPEG 2000, HTJ2K | pylibjpeg with pylibjpeg-openjpeg (OpenJPEG) | MIT |
| RLE | pylibjpeg with pylibjpeg-rle | MIT |

pylibjpeg-libjpeg, pydicom's usual plugin for the second line, is under GPL 3, which this project
(Apache 2.0) would pass on to everybody who installs it, and fails on one of pydicom's own 12-bit
files; pydicom's GDCM plugin refuses 12 bit. imagecodecs decodes all of them.
"""

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

_EXTENDED = "1.2.840.10008.1.2.4.51"
_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")

RLE = "1.2.840.10008.1.2.5"

PLUGINS = {
    RLE: "pylibjpeg",
    "1.2.840.10008.1.2.4.50": "pillow",
    **dict.fromkeys((_EXTENDED, *_LOSSLESS), "imagecodecs"),
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), "pyjpegls"),
    **dict.fromkeys(
        (f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)), "pylibjpeg"
    ),
}  # fmt: skip
"""pydicom's name of the decoder plugin for each compressed transfer syntax that is read."""

DECODER_DEPENDENCIES = dict.fromkeys((_EXTENDED, *_LOSSLESS), ("imagecodecs",))
"""Asked for by `pydicom.pixels.Decoder.add_plugin`."""

_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Second bytes of JPEG's start-of-frame markers (0xF7: JPEG-LS)."""


class StreamSize(NamedTuple):
    """What a code stream's own header says, in pixels."""

    width: int
    height: int


def register() -> None:
    """Adds this module to pydicom as the plugin ``imagecodecs``; a second call does nothing."""
    from pydicom.pixels.decoders.base import get_decoder

    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if "imagecodecs" not in decoder.available_plugins:
            decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Part of pydicom's plugin interface."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: "DecodeRunner") -> bytes:
    """Decodes one JPEG frame for pydicom, without any change of colour space.

    Args:
        src: Code stream of the frame.
        runner: pydicom's description of it; told the container's width in bits.
    """
    import imagecodecs

    as_stored = "RGB" if runner.samples_per_pixel == 3 else None  # from RGB to RGB: no change
    frame: Any = imagecodecs.jpeg8_decode(src, colorspace=as_stored, outcolorspace=as_stored)
    runner.set_option("bits_allocated", frame.dtype.itemsize * 8)
    runner.set_option("planar_configuration", 0)
    return bytes(frame.tobytes())


def stream_size(stream: bytes) -> StreamSize | None:
    """Reads width and height that a JPEG, JPEG-LS or JPEG 2000 code stream claims.

    Returns:
        None if there is no such header: not a stream of these kinds, or a damaged one.
    """
    stream = _inside_jp2(stream)
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:
        x1, y1, x0, y0 = struct.unpack_from(">4I", stream, 8)
        return StreamSize(x1 - x0, y1 - y0)
    place = 2
    while stream[:2] == b"\xff\xd8" and place + 9 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", stream, place + 5)
            return StreamSize(width, height)
        place += 2 + struct.unpack_from(">H", stream, place + 2)[0]
    return None


def _inside_jp2(stream: bytes) -> bytes:
    """The code stream in a JP2 file, which some writers wrongly put into a frame, or `stream`."""
    place = 0
    while stream[4:8] == b"jP  " and place + 8 <= len(stream):
        length = struct.unpack_from(">I", stream, place)[0]
        if stream[place + 4 : place + 8] == b"jp2c":
            return stream[place + 8 :]
        if length < 8:  # to the end, or of 64 bits: neither is known from DICOM files
            break
        place += length
    return stream
