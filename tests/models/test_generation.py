from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, LlamaForCausalLM, TextIteratorStreamer, TextStreamer

from models.configuration import PMCCambrianConfig
from models.modeling import PMCCambrian
from models.processing import PMCCambrianProcessor

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


@pytest.mark.parametrize(
    "setting",
    [
        {"num_beams": 2},
        {"num_return_sequences": 2},
        {"prefill_chunk_size": 2},
        {"prompt_lookup_num_tokens": 2},
        {"past_key_values": "filled"},
        {"assistant_model": "small"},
    ],
)
def test_what_generation_cannot_do_is_refused(
    small_model: Model, setting: dict[str, object]
) -> None:
    name = next(iter(setting))
    with pytest.raises(ValueError, match=f"^{name} is .* supports"):
        small_model().generate(torch.tensor([[3]]), max_new_tokens=2, **setting)


def test_settings_are_refused_in_whatever_way_they_come(small_model: Model) -> None:
    model = small_model()
    beams = GenerationConfig(num_beams=3)
    with pytest.raises(ValueError, match="num_beams is 3"):
        model.generate(torch.tensor([[3]]), generation_config=beams, max_new_tokens=2)
    model.generation_config.num_beams = 4
    with pytest.raises(ValueError, match="num_beams is 4"):
        model.generate(torch.tensor([[3]]), max_new_tokens=2)
    with pytest.raises(ValueError, match="0 prompts"):
        small_model().generate(torch.zeros(0, 4, dtype=torch.int64), max_new_tokens=2)


def test_images_after_a_filled_cache_are_refused(small_model: Model, features: Features) -> None:
    model = small_model()
    cache = model(torch.tensor([[3, 4]]), use_cache=True).past_key_values
    with pytest.raises(ValueError, match="images after a filled cache"):
        model(torch.tensor([[IMAGE]]), tower_features=features(1), past_key_values=cache)


PROMPTS = st.lists(
    st.lists(st.one_of(st.integers(1, 49), st.just(IMAGE)), min_size=1, max_size=7),
    min_size=1,
    max_size=3,
)
ASPECTS = ((40, 40), (100, 60), (30, 90), (120, 50))


@settings(max_examples=12)
@given(
    rows=PROMPTS,
    seed=st.integers(0, 9),
    changes=st.sampled_from(
        [{}, {"connector_only": True}, {"num_samplers": 4, "sampler_stride": 1}]
    ),
)
def test_neither_cache_nor_batch_nor_padding_changes_a_greedy_answer(
    small_config: Callable[..., PMCCambrianConfig],
    rows: list[list[int]],
    seed: int,
    changes: dict[str, Any],
) -> None:
    torch.manual_seed(seed)
    model = lively(PMCCambrian(small_config(**changes)).eval())
    num_images = sum(row.count(IMAGE) for row in rows)
    sizes = torch.tensor([ASPECTS[i % 4] for i in range(num_images)]).reshape(-1, 2)
    towers = [torch.randn(num_images, *shape) for shape in ((16, 6), (16, 5), (64, 7))]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[j < len(row) for j in range(length)] for row in rows])
    asked: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False}
    batch = {"image_sizes_wh": sizes, "tower_features": towers}
    cached = model.generate(ids, mask, **batch, **asked).tolist()
    recomputed = model.generate(ids, mask, **batch, **asked, use_cache=False).tolist()
    sure = 0
    first = 0
    for i, row in enumerate(rows):
        images = slice(first, first := first + row.count(IMAGE))
        alone = model.generate(
            torch.tensor([row]),
            image_sizes_wh=sizes[images],
            tower_features=[tower[images] for tower in towers],
            use_cache=False,
            return_dict_in_generate=True,
            output_logits=True,
            **asked,
        )
        # Where two logits tie within rounding, either token is right and the rest differs.
        top = torch.cat(alone.logits).topk(2).values
        clear = ((top[:, 0] - top[:, 1]) > 1e-3).cumprod(dim=0).sum().item()
        expected = alone.sequences[0, :clear].tolist()
        assert cached[i][:clear] == recomputed[i][:clear] == expected
        sure += clear
    assume(sure > 0)


def test_without_a_cache_every_step_reads_all_anew(small_model: Model, features: Features) -> None:
    model, calls = small_model(), []
    model.samplers[0].register_forward_hook(lambda *_: calls.append(1))
    images = {"image_sizes_wh": SIZES[:1], "tower_features": features(1)}
    prompt = torch.tensor([[IMAGE, 3]])
    model.generate(prompt, **images, max_new_tokens=4, do_sample=False, use_cache=False)
    assert len(calls) == 4


def test_text_alone_is_generated_as_the_decoder_does_by_itself(small_model: Model) -> None:
    model = lively(small_model())
    decoder: LlamaForCausalLM = model.language_model
    ids = torch.tensor([[3, 9, 12, 7], [0, 0, 5, 6]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    asked: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    theirs = decoder.generate(ids, attention_mask=mask, **asked)[:, 4:]
    assert torch.equal(model.generate(ids, mask, **asked), theirs)


def test_sampling_follows_the_seed(small_model: Model, features: Features) -> None:
    model, towers = small_model(), features(4)

    def drawn(seed: int, **settings: Any) -> list[int]:
        torch.manual_seed(seed)
        images = images_of(0, towers)
        ids = model.generate(
            torch.tensor([ROWS[0]]), **images, max_new_tokens=12, do_sample=True, **settings
        )
        return ids[0].tolist()

    assert drawn(1) == drawn(1) == drawn(1, use_cache=False)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1
    # With next to no probability left to draw from, sampling is greedy.
    greedy = argmax_loop(model, ROWS[0], images_of(0, towers))
    assert drawn(1, top_p=1e-6)[:NUM_NEW] == drawn(2, top_k=1)[:NUM_NEW] == greedy


def test_each_row_stops_at_its_own_stop_token(small_model: Model, features: Features) -> None:
    model, towers = lively(small_model()), features(4)
    rows = [ROWS[0], ROWS[2]]
    free = [
        argmax_loop(model, row, images_of(i, towers)) for i, row in ((0, rows[0]), (2, rows[1]))
    ]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    stops = [free[0][1], free[1][3]]
    both = model.generate(
        ids,
        torch.tensor([[j < len(row) for j in range(length)] for row in rows]),
        image_sizes_wh=SIZES[[0, 1, 2]],
        tower_features=[tower[[0, 1, 2]] for tower in towers],
        max_new_tokens=NUM_NEW,
        do_sample=False,
        eos_token_id=stops,
        pad_token_id=0,
    ).tolist()
    for answer, unstopped in zip(both, free, strict=True):
        end = next(i for i, token in enumerate(unstopped) if token in stops) + 1
        assert answer[:end] == unstopped[:end]
        assert set(answer[end:]) <= {0}


@pytest.fixture(scope="module")
def spoken(tiny_model: PMCCambrian, tiny_processor: PMCCambrianProcessor) -> tuple[Any, str]:
    """A prompt, and the text that the model continues it with."""
    prompt = torch.tensor([[0, 50, 60]])
    ids = tiny_model.generate(prompt, max_new_tokens=10, do_sample=False)[0]
    return prompt, tiny_processor.tokenizer.decode(ids, skip_special_tokens=True)


def test_streamed_text_is_the_answer(
    tiny_model: PMCCambrian,
    tiny_processor: PMCCambrianProcessor,
    spoken: tuple[Any, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompt, text = spoken
    tokenizer = tiny_processor.tokenizer
    asked: dict[str, Any] = {"max_new_tokens": 10, "do_sample": False}
    printed = TextStreamer(tokenizer, skip_special_tokens=True)
    tiny_model.generate(prompt, streamer=printed, **asked)
    assert capsys.readouterr().out == text + "\n"
    pieces = TextIteratorStreamer(tokenizer, skip_special_tokens=True, timeout=60)
    worker = Thread(
        target=tiny_model.generate, args=(prompt,), kwargs={**asked, "streamer": pieces}
    )
    worker.start()
    assert "".join(pieces) == text
    worker.join()


def test_a_stop_string_ends_the_answer(
    tiny_model: PMCCambrian, tiny_processor: PMCCambrianProcessor, spoken: tuple[Any, str]
) -> None:
    prompt, text = spoken
    stop = text[: len(text) // 2]
    ids = tiny_model.generate(
        prompt,
        max_new_tokens=10,
        do_sample=False,
        stop_strings=[stop],
        tokenizer=tiny_processor.tokenizer,
    )[0]
    assert len(ids) < 10
    assert stop in tiny_processor.tokenizer.decode(ids)
