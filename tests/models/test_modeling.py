import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.configuration import PMCCambrianConfig, TowerSpec
from models.modeling import PMCCambrian
from models.parts import PARTS, part_of
from semihvision.core.errors import InputError

IMAGE = -200
Model = Callable[..., PMCCambrian]
Features = Callable[[int], list[torch.Tensor]]

# Rows of unequal length: two images, none, one at the end, one at the start.
ROWS = ([3, IMAGE, 4, 5, IMAGE, 6, 7], [8, 9, 10], [11, 12, 13, IMAGE], [IMAGE, 14])
SIZES = ((100, 60), (40, 40), (30, 90), (120, 50))


def batch_of(rows: tuple[list[int], ...]) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[j < len(row) for j in range(length)] for row in rows])
    return ids, mask


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"connector_only": True},
        {"query_num_list": [4]},
        {"query_num_list": [4, 16], "num_samplers": 3, "sampler_stride": 1},
    ],
)
@torch.no_grad()
def test_a_batch_equals_its_rows_one_by_one(
    small_model: Model, features: Features, changes: dict[str, object]
) -> None:
    model = small_model(**changes)
    ids, mask = batch_of(ROWS)
    towers, sizes = features(4), torch.tensor(SIZES)
    together = model(ids, mask, image_sizes_wh=sizes, tower_features=towers)
    first = 0
    for i, row in enumerate(ROWS):
        images = slice(first, first + row.count(IMAGE))
        first = images.stop
        alone = model(
            torch.tensor([row]),
            image_sizes_wh=sizes[images],
            tower_features=[tower[images] for tower in towers],
        )
        length = alone.logits.shape[1]
        torch.testing.assert_close(
            together.logits[i, :length], alone.logits[0], atol=2e-5, rtol=1e-5
        )


@torch.no_grad()
def test_a_text_row_is_the_plain_language_model(small_model: Model, features: Features) -> None:
    model = small_model()
    ids = torch.tensor([[3, 4, 5]])
    plain = model.language_model(input_ids=ids).logits
    torch.testing.assert_close(model(ids).logits, plain)
    with_image = {"image_sizes_wh": torch.tensor([[9, 9]]), "tower_features": features(1)}
    model(torch.tensor([[IMAGE, 4, 5]]), **with_image)
    # Nothing of the image before stays behind.
    torch.testing.assert_close(model(ids).logits, plain)


@torch.no_grad()
def test_an_image_matters_at_the_grid_and_inside_the_decoder(
    small_model: Model, features: Features
) -> None:
    model = small_model()
    arguments = {"image_sizes_wh": torch.tensor([[9, 9]]), "tower_features": features(1)}
    ids = torch.tensor([[IMAGE, 4, 5]])
    full = model(ids, **arguments).logits
    fused = model.fuse(ids, **arguments)
    without = model(inputs_embeds=fused.inputs_embeds, attention_mask=fused.attention_mask).logits
    assert not torch.allclose(full, without, atol=1e-3)
    again = model(inputs_embeds=fused.inputs_embeds, sampler_inputs=fused.sampler_inputs).logits
    torch.testing.assert_close(full, again)


def test_loss_is_the_same_in_training_and_evaluation(
    small_model: Model, features: Features
) -> None:
    model = small_model()
    ids, mask = batch_of(ROWS)
    labels = torch.where(mask & (ids != IMAGE), ids, -100)
    arguments = {"image_sizes_wh": torch.tensor(SIZES), "tower_features": features(4)}
    evaluated = model(ids, mask, labels=labels, **arguments)
    trained = model.train()(ids, mask, labels=labels, **arguments)
    assert trained.logits is None
    torch.testing.assert_close(trained.loss, evaluated.loss)
    expanded = model.fuse(ids, mask, labels=labels, **arguments).labels
    assert expanded is not None
    sums = [
        -evaluated.logits[i, j].log_softmax(-1)[expanded[i, j + 1]]
        for i in range(len(ids))
        for j in range(expanded.shape[1] - 1)
        if expanded[i, j + 1] != -100
    ]
    torch.testing.assert_close(evaluated.loss, torch.stack(sums).mean())


@torch.no_grad()
def test_the_fixed_layout_gives_every_real_token_the_same_logits(
    small_model: Model, features: Features
) -> None:
    model = small_model()
    ids, mask = batch_of(ROWS)
    given = {"image_sizes_wh": torch.tensor(SIZES), "tower_features": features(4)}
    unpadded = model(ids, mask, **given).logits
    fixed = model(ids, mask, **given, image_layout="fixed", row_length=60).logits
    real = model.fuse(ids, mask, **given).attention_mask
    kept = model.fuse(ids, mask, **given, image_layout="fixed", row_length=60).attention_mask
    assert fixed.shape[1] == 60
    torch.testing.assert_close(fixed[kept], unpadded[real], atol=2e-5, rtol=1e-5)


def test_the_loss_divides_by_the_tokens_it_is_told(small_model: Model) -> None:
    model = small_model().train()
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
    labels = ids.clone()
    labels[0, :3] = -100
    own = model(ids, labels=labels)
    assert own.num_trained_tokens == 1 + 3
    torch.testing.assert_close(own.loss, own.loss_sum / 4)
    torch.testing.assert_close(
        model(ids, labels=labels, num_items_in_batch=16).loss, own.loss_sum / 16
    )
    # One step of a batch is the sum of its rows, whatever they train.
    parts = [
        model(ids[i : i + 1], labels=labels[i : i + 1], num_items_in_batch=4).loss for i in (0, 1)
    ]
    torch.testing.assert_close(sum(parts), own.loss)


@pytest.mark.parametrize("training", [True, False])
def test_the_chunked_loss_is_the_plain_one(
    small_model: Model, features: Features, training: bool
) -> None:
    ids, mask = batch_of(ROWS)
    labels = torch.where(mask & (ids != IMAGE), ids, -100)
    given = {"image_sizes_wh": torch.tensor(SIZES), "tower_features": features(4)}
    results = []
    for kind in ("plain", "chunked"):
        model = small_model().train(training)
        model.loss_kind = kind
        output = model(ids, mask, labels=labels, **given)
        output.loss.backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        results.append((output.loss.detach(), grads))
    assert results[0][1].keys() == results[1][1].keys()
    torch.testing.assert_close(results[0], results[1])


def test_a_training_step_keeps_no_cache(small_model: Model) -> None:
    model, ids = small_model(), torch.tensor([[3, 4]])
    assert model(ids).past_key_values is not None
    assert model.train()(ids, labels=ids).past_key_values is None


def test_every_part_but_the_towers_gets_a_gradient(small_model: Model, features: Features) -> None:
    model = small_model().train()
    arguments = {"image_sizes_wh": torch.tensor([[9, 5]]), "tower_features": features(1)}
    ids = torch.tensor([[3, IMAGE, 4, 5]])
    model(ids, labels=torch.tensor([[-100, -100, 4, 5]]), **arguments).loss.backward()
    without = {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    assert without == set()


def test_activation_checkpointing_changes_no_gradient(
    small_model: Model, features: Features
) -> None:
    plain = small_model().train()
    saving = copy.deepcopy(plain)
    saving.activation_checkpointing_enable({"use_reentrant": False})
    arguments = {"image_sizes_wh": torch.tensor([[9, 5]]), "tower_features": features(1)}
    ids = torch.tensor([[3, IMAGE, 4, 5]])
    for model in (plain, saving):
        model(ids, labels=ids.clamp(min=-100), use_cache=False, **arguments).loss.backward()
    for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


@torch.no_grad()
def test_a_deep_copy_runs_its_own_samplers(small_model: Model, features: Features) -> None:
    model = small_model()
    twin = copy.deepcopy(model)
    for parameter in model.samplers.parameters():
        parameter.zero_()
    arguments = {"image_sizes_wh": torch.tensor([[9, 5]]), "tower_features": features(1)}
    ids = torch.tensor([[3, IMAGE, 4]])
    assert not torch.allclose(twin(ids, **arguments).logits, model(ids, **arguments).logits)


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
@torch.no_grad()
def test_samplers_run_on_other_decoders(
    small_model: Model, features: Features, family: str
) -> None:
    model = small_model(text={"model_type": family})
    assert type(model.language_model).__name__.lower() == f"{family}forcausallm"
    arguments = {"image_sizes_wh": torch.tensor([[9, 5]]), "tower_features": features(1)}
    ids = torch.tensor([[3, IMAGE, 4]])
    before = model(ids, **arguments).logits
    model.samplers[1].proj_out[2].weight.mul_(3)
    assert not torch.allclose(model(ids, **arguments).logits, before)


def test_a_decoder_that_drops_the_inputs_is_noticed(small_model: Model, features: Features) -> None:
    model = small_model()
    decoder = model.language_model.model
    forward = decoder.forward
    decoder.forward = lambda sampler_inputs=None, **kwargs: forward(**kwargs)
    with pytest.raises(RuntimeError, match=r"samplers \[0, 1\] did not run"):
        model(
            torch.tensor([[IMAGE]]),
            image_sizes_wh=torch.tensor([[9, 5]]),
            tower_features=features(1),
        )


def test_wrong_inputs_are_named(small_model: Model, features: Features) -> None:
    model = small_model()
    ids, sizes = torch.tensor([[IMAGE, 3]]), torch.tensor([[9, 5]])
    with pytest.raises(ValueError, match="1 image placeholders in the batch but 0 images"):
        model(ids)
    with pytest.raises(ValueError, match="0 tensors of pixels or features for 3 towers"):
        model(ids, image_sizes_wh=sizes)
    with pytest.raises(ValueError, match=r"given \[2, 2, 2\] images; image_sizes_wh has 1"):
        model(ids, image_sizes_wh=sizes, tower_features=features(2))
    with pytest.raises(ValueError, match=r"given \[1, 1, 1\] images; image_sizes_wh has 0"):
        model(torch.tensor([[3]]), pixel_values=[torch.zeros(1, 3, 224, 224)] * 3)
    with pytest.raises(ValueError, match="tower 'a' has no timm model"):
        model(ids, image_sizes_wh=sizes, pixel_values=[torch.zeros(1, 3, 224, 224)] * 3)
    with pytest.raises(ValueError, match="neither input_ids nor inputs_embeds"):
        model()


def test_ids_outside_the_vocabulary_are_refused_unless_masked(small_model: Model) -> None:
    model = small_model()
    for wrong in (-7, -100, 50):
        ids = torch.tensor([[3, wrong]])
        with pytest.raises(ValueError, match=rf"token ids \[{wrong}\] are not in the vocabulary"):
            model(ids)
        assert model(ids, torch.tensor([[1, 0]])).logits.shape == (1, 1, 50)


def test_initial_values_are_drawn_and_never_left_over(small_config: Callable[..., object]) -> None:
    config = PMCCambrianConfig(
        [TowerSpec(name="a", grid_side=8, dim=6)],
        {"hidden_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 1, "vocab_size": 9,
         "intermediate_size": 8},
        vision_hidden_size=512,
        image_token_len=16,
        query_num_list=[16, 16, 16, 16],
        connector_depth=1,
        num_samplers=1,
    )  # fmt: skip
    model = PMCCambrian(config)
    assert model.query.std().item() == pytest.approx(1 / math.sqrt(512), rel=0.1)
    assert model.newline.std().item() == pytest.approx(1 / math.sqrt(1024), rel=0.1)
    table = model.connector[0][0].pos_embed["0"]
    assert table.std().item() == pytest.approx(1, rel=0.1)
    weight = model.connector[0][0].o_proj.weight
    assert weight.std().item() == pytest.approx(1 / math.sqrt(512), rel=0.05)
    assert not model.mm_projector[0].bias.any()
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name


def test_save_and_load_round_trip(tiny_model: PMCCambrian, tmp_path: Path) -> None:
    tiny_model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    loaded = PMCCambrian.from_pretrained(tmp_path)
    assert loaded.config.tower_specs == tiny_model.config.tower_specs
    original = tiny_model.state_dict()
    assert loaded.state_dict().keys() == original.keys()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, original[name]), name
    assert not any(parameter.requires_grad for parameter in loaded.towers.parameters())


def test_loading_makes_no_weight_up(small_model: Model, tmp_path: Path) -> None:
    model = small_model()
    state = model.state_dict()
    del state["newline"]
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(InputError, match=r"missing_keys.*newline"):
        PMCCambrian.from_pretrained(tmp_path)


def test_unusable_folders_are_refused(small_model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        PMCCambrian.from_pretrained(tmp_path / "absent")
    small_model().config.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="cannot be loaded"):
        PMCCambrian.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(InputError, match="cannot be loaded"):
        PMCCambrian.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(InputError, match="model_type is 'llama'; expected 'pmc_cambrian'"):
        PMCCambrian.from_pretrained(tmp_path)
    text = '{"model_type": "pmc_cambrian", "image_token_len": 15}'
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="image_token_len holds 15"):
        PMCCambrian.from_pretrained(tmp_path)


def test_every_parameter_has_a_part(tiny_model: PMCCambrian) -> None:
    found = {part_of(name) for name, _ in tiny_model.named_parameters()}
    assert found == set(PARTS)
    with pytest.raises(ValueError, match="belongs to no part"):
        part_of("model.towers.0.weight")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_hidden_size": 20}, "multiple of 16"),
        ({"image_token_len": 15}, "image_token_len holds 15; expected a square"),
        ({"query_num_list": [9]}, "no multiple of the query side 3"),
        ({"sampler_stride": 0}, "sampler_stride 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    small_config: Callable[..., object], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small_config(**changes)


def test_samplers_beyond_the_last_layer_exist_but_never_run(
    small_config: Callable[..., PMCCambrianConfig],
) -> None:
    assert small_config(num_samplers=4).sampler_layers == {0: 0, 2: 1}
    assert small_config(connector_only=True).sampler_layers == {}
