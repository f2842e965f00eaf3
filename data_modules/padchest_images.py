"""PadChest's images: how their pixels are shown, and which files do not decode."""

from pathlib import Path
from typing import Any

from PIL import Image

from data_modules.padchest_rows import Row, number_of
from semihvision.core.errors import InputError
from semihvision.core.images import probe_image
from semihvision.core.imaging.refusals import constant
from semihvision.core.imaging.windowing import window_of_values
from semihvision.core.record import Attribute, ImageRef

KNOWN_CORRUPT = frozenset(
    f"2168401113669640{name}.png"
    for name in (
        "12283393834152009033102258826_00-059-087", "12339356563862009072111404053_00-043-192",
        "12373310883942009117084022290_00-064-025", "12373310883942009152114636712_00-102-045",
        "12373310883942009170084120009_00-097-074", "12487858717522009280135853083_00-075-001",
        "12558082906712009327122220177_00-102-064", "12819207061112010281134410801_00-129-131",
        "12819207061112010306085429121_04-020-102", "12819207061112010307142602253_04-014-084",
        "12819207061112010315104455352_04-024-184", "12959786098432011033083840143_00-176-115",
        "12989926673512011074122523403_00-163-058", "12989926673512011083134050913_00-168-009",
        "12989926673512011151082430686_00-157-045", "13076187734852011291090445391_00-196-188",
        "13590140476722013043111952381_02-065-198", "13590140476722013058110301622_02-056-111",
        "13686042548532013208193054515_02-026-007", "13829543166512013353113303615_02-092-190",
        "13962490064942014134093945580_01-178-104",
    )
)  # fmt: skip
"""Files that torchxrayvision leaves out because they do not decode."""


def image_of(root: Path, row: Row) -> ImageRef:
    """The image of a row, with its view and how it is shown.

    Raises:
        InputError: It is missing, cannot be read, is known to be corrupt, or holds one value alone.
    """
    path = f"{row['ImageDir']}/{row['ImageID']}"
    try:
        found = probe_image(root, path, image_id=row["ImageID"].removesuffix(".png"))
    except InputError as error:
        if error.kind == "unreadable_image" and row["ImageID"] in KNOWN_CORRUPT:
            reason = f"{error}; known to be corrupt in the owner's release"
            raise InputError(reason, kind="known_corrupt") from None
        raise
    return found.model_copy(update={"view": row["Projection"], **_display(root / path, path, row)})


def _display(path: Path, name: str, row: Row) -> dict[str, Any]:
    """How the pixels are shown: the window, and black for white in MONOCHROME1."""
    import numpy as np

    with Image.open(path) as opened:
        deep = opened.mode.startswith("I")
        values = np.asarray(opened, dtype=np.int32) if deep else np.zeros(0)
    photometric = row["PhotometricInterpretation_DICOM"]
    facts = {"photometric": photometric} if photometric else {}
    window: tuple[float, float] | None = None
    if deep:
        window, facts["window"] = _window(values, row)
        if window is None:
            raise constant(name)
    if photometric == "MONOCHROME1":
        facts["inverted"] = "yes"
        window = window or (127.5, 255.0)
    reading = tuple(Attribute(name=key, value=value) for key, value in facts.items())
    if window is None:
        return {"reading": reading}
    sign = -1.0 if photometric == "MONOCHROME1" else 1.0
    return {
        "rescale_slope": sign,
        "window_center": sign * window[0],
        "window_width": window[1],
        "reading": reading,
    }


def _window(values: Any, row: Row) -> tuple[tuple[float, float] | None, str]:
    center, width = number_of(row, "WindowCenter_DICOM"), number_of(row, "WindowWidth_DICOM")
    bits = number_of(row, "BitsStored_DICOM")
    if center is not None and width is not None and bits and values.max() < 2**bits:
        return (center, width), "table"
    return window_of_values(values), "percentiles of the image"
