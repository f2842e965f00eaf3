"""Models and samples small enough to build in every test run."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.configuration import PMCCambrianConfig, TowerSpec
from models.modeling import PMCCambrian
from models.processing import PMCCambrianProcessor

TEXT = {
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # Tensors this small gain nothing from threads, and on a busy machine waiting threads cost
    # eight times the run (62 s against 8 s seen).
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_config() -> Callable[..., PMCCambrianConfig]:
    """A configuration whose towers are precomputed features: grids of 4, 4 and 8 cells a side."""

    def make(text: dict[str, Any] | None = None, **changes: Any) -> PMCCambrianConfig:
        towers = [
            TowerSpec(name="a", grid_side=4, dim=6),
            TowerSpec(name="b", grid_side=4, dim=5),
            TowerSpec(name="c", grid_side=8, dim=7),
        ]
        settings: dict[str, Any] = {
            "vision_hidden_size": 16,
            "image_token_len": 16,
            "query_num_list": [16],
            "connector_depth": 2,
            "num_samplers": 2,
            "sampler_start": 0,
            "sampler_stride": 2,
        }
        return PMCCambrianConfig(towers, {**TEXT, **(text or {})}, **(settings | changes))

    return make


@pytest.fixture(scope="session")
def small_model(
    small_config: Callable[..., PMCCambrianConfig],
) -> Callable[..., PMCCambrian]:
    """A randomly initialised model of `small_config`, in evaluation mode."""

    def make(**changes: Any) -> PMCCambrian:
        torch.manual_seed(1)
        return PMCCambrian(small_config(**changes)).eval()

    return make


@pytest.fixture(scope="session")
def features() -> Callable[[int], list[torch.Tensor]]:
    """Random tower features of `small_config` for a number of images."""

    def make(num_images: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(2)
        shapes = ((16, 6), (16, 5), (64, 7))
        return [torch.randn(num_images, *shape, generator=generator) for shape in shapes]

    return make


@pytest.fixture(scope="session")
def tiny_processor() -> PMCCambrianProcessor:
    return PMCCambrianProcessor.from_preset("tiny")


@pytest.fixture(scope="session")
def tiny_model() -> PMCCambrian:
    torch.manual_seed(0)
    return PMCCambrian.from_preset("tiny").eval()


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """A random RGB image of a width and height."""

    def make(width: int, height: int, seed: int = 0) -> Image.Image:
        random = np.random.default_rng(seed)
        return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))

    return make
