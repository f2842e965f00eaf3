"""Counted operations against PyTorch's own counter and against the sizes by hand."""

import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from models.flops import Flops, StepFlops, decoder_flops, image_flops
from models.modeling import PMCCambrian
from models.padding import kept_grid
from models.presets import preset
from models.processing import PMCCambrianProcessor

LENGTH = 12


def _decoder() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            attn_implementation="eager",
        )
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_decoder_counts_agree_with_pytorchs_counter(frozen: bool) -> None:
    decoder = _decoder()
    decoder.requires_grad_(not frozen)
    embeds = torch.randn(1, LENGTH, 32, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        loss = decoder(inputs_embeds=embeds).logits.sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    # Eager attention computes the whole square, so every pair counts.
    counted, layers = decoder_flops(decoder, tokens=LENGTH, pairs=LENGTH**2, scored_tokens=LENGTH)
    assert counted.forward == forward.get_total_flops()
    assert counted.backward == backward.get_total_flops()
    assert layers == counted.forward - 2 * LENGTH * 50 * 32


def test_vision_path_of_the_published_sizes() -> None:
    counts = image_flops(preset("8b"), trained_parts=("projectors", "query", "connector"))
    # The towers run forward only; ConvNeXt-XXL at 1024 px is by far the largest of them.
    assert counts.encoders.backward == 0
    assert 9.0e12 < counts.encoders.forward < 9.3e12
    # At least the four projectors, whose weights fix their cost.
    tokens_dims = [(576, 1152), (576, 1024), (576, 1536), (9216, 5760)]
    projectors = sum(2 * n * (dim * 1024 + 1024**2) for n, dim in tokens_dims)
    assert counts.connector.forward > projectors
    # Weights of the first map need gradients, its input does not.
    assert projectors < counts.connector.backward < 2 * counts.connector.forward


def test_every_image_costs_towers_and_connector_what_a_square_one_does() -> None:
    size = (96, 48)
    config = preset("tiny")
    model = PMCCambrian(config).requires_grad_(False)
    processor = PMCCambrianProcessor.from_preset("tiny")
    pixels = processor.prepare_image(Image.new("RGB", size)).pixels
    with FlopCounterMode(display=False) as encoders:
        features = [tower(one[None]) for tower, one in zip(model.towers, pixels, strict=True)]
    assert encoders.get_total_flops() == image_flops(config, ()).encoders.forward

    def path(size: tuple[int, int]) -> tuple[float, float]:
        """Operations up to the decoder, and of the samplers in it."""
        with FlopCounterMode(display=False) as connector:
            _, windows = model.encode_images(features, [size])
        assert windows is not None
        kept = kept_grid(*size, config.image_side)
        chosen = windows.select(torch.arange(kept.rows * kept.columns))
        hidden = torch.zeros(kept.rows * kept.columns, config.text_config.hidden_size)
        with FlopCounterMode(display=False) as samplers:
            for index in config.sampler_layers.values():
                hidden = model.samplers[index](hidden, chosen)
        return connector.get_total_flops(), samplers.get_total_flops()

    square, own = path((336, 336)), path(size)
    assert sum(square) == image_flops(config, ()).connector.forward
    assert own[0] == square[0]
    assert own[1] < square[1]


def test_trained_towers_have_a_backward_pass() -> None:
    config = preset("tiny")
    frozen = image_flops(config, trained_parts=("connector",)).encoders
    trained = image_flops(config, trained_parts=("connector", "towers")).encoders
    assert trained.forward == frozen.forward
    assert frozen.forward < trained.backward < 2 * trained.forward


def test_utilisation_shares_add_up() -> None:
    step = StepFlops(
        language_model=Flops(2e12, 4e12),
        encoders=Flops(3e12, 0),
        connector=Flops(0.5e12, 0.5e12),
        recomputed=2e12,
    )
    shares = step.utilisation(seconds=0.1, peak=100e12, gpus=2)
    assert shares == pytest.approx({"mfu_language_model": 0.3, "mfu": 0.5, "hfu": 0.6})
