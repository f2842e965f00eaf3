from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.modeling import PMCCambrian

IMAGE = -200
Model = Callable[..., PMCCambrian]
Features = Callable[[int], list[torch.Tensor]]

ROWS = ([3, IMAGE, 4, 5, IMAGE, 6, 7], [8, 9, 10], [11, 12, 13, IMAGE], [IMAGE, 14])
SIZES = torch.tensor([(100, 60), (40, 40), (30, 90), (120, 50)])
NUM_NEW = 8


def lively(model: PMCCambrian) -> PMCCambrian:
    """Larger weights, so that answers differ between prompts instead of repeating one token."""
    with torch.no_grad():
        for name, parameter in model.language_model.named_parameters():
            if "norm" not in name:
                parameter.mul_(6)
    return model


def images_of(row_index: int, towers: list[torch.Tensor]) -> dict[str, Any]:
    first = sum(row.count(IMAGE) for row in ROWS[:row_index])
    images = slice(first, first + ROWS[row_index].count(IMAGE))
    return {
        "image_sizes_wh": SIZES[images],
        "tower_features": [tower[images] for tower in towers],
    }


@torch.no_grad()
def argmax_loop(model: PMCCambrian, row: list[int], images: dict[str, Any]) -> list[int]:
    """Greedy answers without any cache: the whole sequence anew for every token."""
    ids = list(row)
    for _ in range(NUM_NEW):
        ids.append(int(model(torch.tensor([ids]), **images).logits[0, -1].argmax()))
    return ids[len(row) :]


def test_cached_batched_generation_is_the_uncached_loop_row_by_row(
    small_model: Model, features: Features
) -> None:
    model, towers = lively(small_model()), features(4)
    length = max(map(len, ROWS))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in ROWS])
    mask = torch.tensor([[j < len(row) for j in range(length)] for row in ROWS])
    together = model.generate(
        ids,
        mask,
        image_sizes_wh=SIZES,
        tower_features=towers,
        max_new_tokens=NUM_NEW,
        do_sample=False,
    ).tolist()
    assert len({tuple(answer) for answer in together}) == len(ROWS)
    for i, row in enumerate(ROWS):
        images = images_of(i, towers)
        expected = argmax_loop(model, row, images)
        alone = model.generate(
            torch.tensor([row]), **images, max_new_tokens=NUM_NEW, do_sample=False
        )
        assert alone[0].tolist() == expected
        assert together[i] == expected


def test_samplers_run_in_the_prefill_and_not_in_decode_steps(
    small_model: Model, features: Features
) -> None:
    model = small_model()
    calls: list[int] = []
    model.samplers[0].register_forward_hook(lambda *_: calls.append(1))
    arguments = {"image_sizes_wh": SIZES[:1], "tower_features": features(1)}
    model.generate(torch.tensor([[IMAGE, 3]]), **arguments, max_new_tokens=4, do_sample=False)
    assert len(calls) == 1
    model.generate(torch.tensor([[5, 3]]), max_new_tokens=4, do_sample=False)
    assert len(calls) == 1


def test_a_stop_token_ends_a_row_and_the_rest_is_padding(
    small_model: Model, features: Features
) -> None:
    model, towers = lively(small_model()), features(4)
    free = argmax_loop(model, ROWS[0], images_of(0, towers))
    stopped = model.generate(
        torch.tensor([ROWS[0]]),
        **images_of(0, towers),
        max_new_tokens=NUM_NEW,
        do_sample=False,
        eos_token_id=free[2],
        pad_token_id=0,
    )
    assert stopped[0].tolist() == free[: free.index(free[2]) + 1]


@pytest.mark.parametrize("setting", [{"num_beams": 2}, {"use_cache": False}])
def test_what_generation_cannot_do_is_refused(
    small_model: Model, setting: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        small_model().generate(torch.tensor([[3]]), max_new_tokens=2, **setting)


def test_images_after_a_filled_cache_are_refused(small_model: Model, features: Features) -> None:
    model = small_model()
    cache = model(torch.tensor([[3, 4]]), use_cache=True).past_key_values
    with pytest.raises(ValueError, match="images after a filled cache"):
        model(torch.tensor([[IMAGE]]), tower_features=features(1), past_key_values=cache)
