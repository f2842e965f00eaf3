"""What an image shows and what was recorded about its reading."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semihvision.core.images import read_image
from semihvision.core.record import ImageRef


def facts(image: ImageRef) -> dict[str, str]:
    return {fact.name: fact.value for fact in image.reading}


def grey(root: Path, image: ImageRef) -> NDArray[Any]:
    shown = np.asarray(read_image(root, image))
    assert (shown == shown[..., :1]).all()
    return shown[..., 0]
