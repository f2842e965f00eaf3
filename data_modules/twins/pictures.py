"""Drawn phantoms as image files in memory, for the twins whose images stand inside tables."""

import io
from collections.abc import Sequence

from data_modules.phantoms import Factors, draw


def jpeg(factors: Factors, seed: Sequence[int]) -> bytes:
    """A JPEG file of one phantom."""
    stream = io.BytesIO()
    draw(factors, seed).image().convert("RGB").save(stream, "JPEG")
    return stream.getvalue()
