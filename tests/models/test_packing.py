"""Step 0: a packed batch has the loss and every gradient of the same samples one a row."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from models import segments
from models.modeling import PMCCambrian
from models.packing import pack_rows, pad_samples
from models.processing import PMCCambrianProcessor
from semihvision.core.batch import EncodedSample, Segment, TowerPixels, Turn
from semihvision.core.errors import InputError

IMAGE, IGNORE = -200, -100
Model = Callable[..., PMCCambrian]
Features = Callable[[int], list[Tensor]]


class Samples:
    """Samples whose pixels are tower features of `small_config`, so that no tower runs."""

    def __init__(self) -> None:
        self._random = torch.Generator().manual_seed(3)
        self._number = 0

    def image(self, width: int, height: int) -> TowerPixels:
        shapes = ((16, 6), (16, 5), (64, 7))
        features = tuple(torch.randn(*shape, generator=self._random) for shape in shapes)
        return TowerPixels(pixels=features, size_wh=(width, height))

    def sample(self, question: int, answer: int, *images: TowerPixels) -> EncodedSample:
        """Two tokens, then each image with one token after it, then question and answer."""
        head = [1, 2] + [token for _ in images for token in (IMAGE, 3)]
        body = torch.randint(4, 50, (question + answer,), generator=self._random).tolist()
        labels = [IGNORE] * (len(head) + question) + body[question:]
        self._number += 1
        return EncodedSample(
            example_id=f"s{self._number}",
            input_ids=torch.tensor(head + body),
            labels=torch.tensor(labels),
            images=list(images),
        )


def arguments(batch: Any, **more: Any) -> dict[str, Any]:
    names = ("input_ids", "attention_mask", "labels", "image_sizes_wh", "segment_ids", "branch_ids")
    given = {name: batch[name] for name in names if name in batch}
    return {**given, "tower_features": batch["pixel_values"] or None, **more}


def packed(rows: Sequence[Sequence[Segment]]) -> Any:
    return pack_rows(rows, image_token_id=IMAGE, pad_token_id=0, ignore_index=IGNORE)


def separate(rows: Sequence[Sequence[Segment]]) -> Any:
    samples = [sample for row in rows for segment in row for sample in segment]
    return pad_samples(samples, pad_token_id=0, ignore_index=IGNORE)


def different_lengths(make: Samples) -> list[list[Segment]]:
    image = make.image
    return [
        [[make.sample(2, 3, image(40, 40))], [make.sample(7, 1, image(40, 40))]],
        [[make.sample(1, 9, image(9, 9))]],
    ]


def several_images_and_shapes(make: Samples) -> list[list[Segment]]:
    wide, tall = make.image(100, 60), make.image(30, 90)
    return [
        [[make.sample(2, 2, wide, tall)], [make.sample(3, 4, make.image(120, 50))]],
        [[make.sample(1, 2, tall)], [make.sample(2, 1)], [make.sample(5, 5, wide, wide, tall)]],
    ]


def text_only(make: Samples) -> list[list[Segment]]:
    return [[[make.sample(4, 3)], [make.sample(1, 1)], [make.sample(6, 2)]]]


def shared_images(make: Samples) -> list[list[Segment]]:
    wide, tall, square = make.image(100, 60), make.image(30, 90), make.image(5, 5)
    return [
        [
            [make.sample(2, 3, wide), make.sample(6, 1, wide), make.sample(3, 3, wide)],
            [make.sample(4, 2)],
            [make.sample(1, 1, tall, square), make.sample(2, 5, tall, square)],
        ],
        [[make.sample(1, 2, square)], [make.sample(2, 2, square), make.sample(2, 3, square)]],
    ]


CASES = [different_lengths, several_images_and_shapes, text_only, shared_images]
MakeRows = Callable[[Samples], list[list[Segment]]]


def differences(
    model: PMCCambrian, one: dict[str, Any], other: dict[str, Any]
) -> tuple[float, float]:
    """Relative differences of the losses, and the largest of any parameter's gradient."""
    results = []
    for given in (one, other):
        twin = copy.deepcopy(model)
        loss = twin(**given).loss
        loss.backward()
        grads = {name: p.grad for name, p in twin.named_parameters() if p.grad is not None}
        results.append((loss.detach(), grads))
    (loss, grads), (other_loss, other_grads) = results
    assert grads.keys() == other_grads.keys()
    largest = max(
        ((grads[name] - other_grads[name]).norm() / (grads[name].norm() + 1e-6)).item()
        for name in grads
    )
    return ((loss - other_loss).abs() / loss).item(), largest


@pytest.mark.parametrize("make_rows", CASES)
@pytest.mark.parametrize("layout", ["unpadded", "fixed"])
@pytest.mark.parametrize("attention", ["sdpa", "blocked_sdpa"])
def test_packed_rows_train_as_separate_samples(
    small_model: Model, make_rows: MakeRows, layout: str, attention: str
) -> None:
    model = small_model().train()
    model.set_attn_implementation(attention)
    rows = make_rows(Samples())
    alone = arguments(separate(rows))
    together = arguments(packed(rows), image_layout=layout)
    loss, gradient = differences(model, alone, together)
    assert loss <= 1e-5
    assert gradient <= 1e-4


@pytest.mark.parametrize(
    "changes",
    [
        {"text": {"model_type": "qwen2"}},
        {"text": {"model_type": "mistral", "sliding_window": 9}},
        {
            "text": {
                "model_type": "qwen2",
                "use_sliding_window": True,
                "sliding_window": 7,
                "max_window_layers": 2,
            }
        },
        {"query_num_list": [4, 16]},
        {"connector_only": True},
    ],
)
def test_other_decoders_pack_too(small_model: Model, changes: dict[str, Any]) -> None:
    model = small_model(**changes).train()
    rows = shared_images(Samples())
    loss, gradient = differences(model, arguments(separate(rows)), arguments(packed(rows)))
    assert loss <= 1e-5
    assert gradient <= 1e-4


@pytest.mark.parametrize("attention", ["eager", "blocked_sdpa"])
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_other_attentions_pack_too(small_model: Model, attention: str, family: str) -> None:
    text = {"model_type": family} | ({"sliding_window": 9} if family == "mistral" else {})
    model = small_model(text=text).train()
    model.set_attn_implementation(attention)
    assert model.language_model.config._attn_implementation == attention
    rows = shared_images(Samples())
    loss, gradient = differences(model, arguments(separate(rows)), arguments(packed(rows)))
    assert loss <= 1e-5
    assert gradient <= 1e-4


def test_activation_checkpointing_packs_too(small_model: Model) -> None:
    model = small_model().train()
    rows = shared_images(Samples())
    alone = arguments(separate(rows))
    saving = copy.deepcopy(model)
    saving.activation_checkpointing_enable({"use_reentrant": False})
    one, other = (m(**g) for m, g in ((model, alone), (saving, arguments(packed(rows)))))
    one.loss.backward()
    other.loss.backward()
    for (name, a), b in zip(model.named_parameters(), saving.parameters(), strict=True):
        if a.grad is not None:
            assert (a.grad - b.grad).norm() <= 1e-4 * a.grad.norm() + 1e-7, name


@pytest.mark.parametrize("make_rows", CASES)
def test_plain_causal_attention_would_be_noticed(
    small_model: Model, make_rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def causal(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (row >= 0)

    monkeypatch.setattr(segments.Segments, "sight", lambda *_: causal)
    rows = make_rows(Samples())
    model = small_model().train()
    loss, gradient = differences(model, arguments(separate(rows)), arguments(packed(rows)))
    assert loss > 1e-5
    assert gradient > 1e-2


def test_positions_that_do_not_restart_would_be_noticed(
    small_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments.Segments, "position_ids", lambda self: self.attended.cumsum(1) - 1)
    rows = shared_images(Samples())
    model = small_model().train()
    _, gradient = differences(model, arguments(separate(rows)), arguments(packed(rows)))
    assert gradient > 1e-2


def test_images_are_shared_only_where_all_before_them_is_common() -> None:
    make = Samples()
    one, other = make.image(9, 9), make.image(9, 8)
    first = make.sample(2, 2, one)
    with pytest.raises(InputError, match="other images"):
        packed([[[first, make.sample(2, 2, other)]]])
    changed = make.sample(2, 2, one)
    changed["input_ids"][0] = 9
    with pytest.raises(InputError, match=r"sample s\d: other tokens before its last image"):
        packed([[[first, changed]]])
    with pytest.raises(InputError, match="nothing to share"):
        packed([[[make.sample(2, 2), make.sample(2, 2)]]])
    for place in (0, 3):
        trained = make.sample(2, 2, one)
        trained["labels"][place] = 1
        with pytest.raises(InputError, match="trained tokens before or right after"):
            packed([[[first, trained]]])


def test_the_first_token_of_a_sample_is_never_predicted_from_another() -> None:
    make = Samples()
    samples = [make.sample(1, 1), make.sample(1, 1)]
    for sample in samples:
        sample["labels"][0] = 5
    assert packed([[[sample] for sample in samples]])["labels"][0, [0, 4]].tolist() == [-100, -100]
    assert samples[0]["labels"][0] == 5


def test_the_processor_packs_what_it_encodes(
    tiny_processor: PMCCambrianProcessor, picture: Callable[..., Image.Image]
) -> None:
    images = [tiny_processor.prepare_image(picture(20, 10))]
    turns = [
        [("human", f"<image>\n{question}"), ("gpt", "an answer")] for question in ("one?", "two?")
    ]
    samples = [
        tiny_processor.encode(str(i), [Turn(*turn) for turn in spoken], images)
        for i, spoken in enumerate(turns)
    ]
    fit = tiny_processor.check("0", [Turn(*turn) for turn in turns[0]], [(20, 10)])
    batch = tiny_processor.pack([[samples], [[samples[0]]]], row_length=200)
    assert batch["example_ids"] == ["0", "1", "0"]
    assert len(batch["image_sizes_wh"]) == 2
    prefix = int(((batch["branch_ids"] == 0) & batch["attention_mask"])[0].sum())
    assert fit.shared_length == tiny_processor.expanded_length(prefix, [(20, 10)])
    with pytest.raises(InputError, match=r"packed row 0 has .* expected at most row_length 60"):
        tiny_processor.pack([[[samples[0]], [samples[1]]]], row_length=60)
    with pytest.raises(InputError, match="at least one row"):
        tiny_processor.pack([[]])
