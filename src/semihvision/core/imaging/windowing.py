"""From physical values to 8-bit grey levels: windows, look-up tables, and a window from the values.

Source: DICOM PS3.3 C.11.2.1.2 (window functions) and C.11.1, C.11.2 (look-up tables).
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

FUNCTIONS = ("linear", "linear_exact", "sigmoid")
PERCENTILES = (0.5, 99.5)
"""Shares of the values that a window made from them cuts off; a choice of ours: without it a
single bright pixel (a metal clip, a burned-in letter) would leave everything else black."""


def apply_window(
    physical: "NDArray[Any]", *, center: float, width: float, function: str = "linear_exact"
) -> "NDArray[Any]":
    """Maps physical values to 0..255; values outside of the window are saturated.

    Args:
        physical: Values in physical units, any shape.
        center: Centre of the window.
        width: Width, > 0 (``linear``: at least 1).
        function: ``linear_exact``: black at centre - width/2, white at centre + width/2.
            ``linear``: DICOM's default, by whole values: black at centre - 0.5 - (width - 1)/2.
            ``sigmoid``: 1 / (1 + exp(-4 (value - centre) / width)).

    Returns:
        uint8, same shape.
    """
    import numpy as np

    if function == "sigmoid":
        # The exponent is bounded where the level is 0 or 255 long since.
        share = 1 / (1 + np.exp(np.clip(-4 * (physical - center) / width, -60, 60)))
    elif function == "linear_exact":
        share = (physical - (center - width / 2)) / width
    elif width == 1:
        share = (physical > center - 0.5).astype(float)
    else:
        share = (physical - (center - 0.5)) / (width - 1) + 0.5
    return np.rint(np.clip(share, 0.0, 1.0) * 255.0).astype(np.uint8)


def window_of_values(values: "NDArray[Any]") -> tuple[float, float] | None:
    """Centre and width of the window between the `PERCENTILES` of some physical values.

    Returns:
        None if all values are equal. Where only the percentiles are equal (a few marks on an even
        ground), the window spans all values.

    Raises:
        ValueError: The window would be infinitely wide.
    """
    import numpy as np

    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        raise ValueError("values too large to be shown together")
    return None if low == high else ((low + high) / 2, high - low)


def apply_table(values: "NDArray[Any]", table: "NDArray[Any]", first: int) -> "NDArray[Any]":
    """Looks values up; those before the first or after the last entry take that entry.

    Args:
        values: Any shape; rounded to whole numbers.
        table: (N,) entries.
        first: The value that the first entry belongs to.
    """
    import numpy as np

    places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    looked_up: NDArray[Any] = table[places]
    return looked_up
