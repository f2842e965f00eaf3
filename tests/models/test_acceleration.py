"""Blocks that are recomputed give the loss and gradients of blocks that are not."""

import pytest
import torch
from PIL import Image

from models.acceleration import ActivationCheckpointing, accelerate_blocks
from models.modeling import PMCCambrian
from models.processing import PMCCambrianProcessor
from models.stages.filler import with_filler_image
from semihvision.core.batch import Batch, Turn


def batch_of(processor: PMCCambrianProcessor, *, image: bool) -> Batch:
    pictures = [processor.prepare_image(Image.linear_gradient("L").convert("RGB"))] * image
    question = Turn("human", ("<image>\n" if image else "") + "Which side?")
    sample = processor.encode("a", (question, Turn("gpt", "left")), pictures)
    return processor.collate([sample])


def gradients(model: PMCCambrian, batch: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    output = model(**{name: value for name, value in batch.items() if name != "example_ids"})
    output.loss_sum.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found | {"loss": output.loss_sum.detach()}


@pytest.mark.parametrize("policy", ["selective", "full"])
def test_recomputation_changes_no_gradient_and_no_name(
    policy: ActivationCheckpointing, tiny_processor: PMCCambrianProcessor
) -> None:
    torch.manual_seed(0)
    model = PMCCambrian.from_preset("tiny").train().requires_grad_(True)
    batch = batch_of(tiny_processor, image=True)
    expected, names = gradients(model, batch), list(model.state_dict())
    accelerate_blocks(model, activation_checkpointing=policy, compiled=False)
    found = gradients(model, batch)
    assert list(model.state_dict()) == names
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_a_filler_image_runs_every_part_and_changes_no_gradient(
    tiny_processor: PMCCambrianProcessor,
) -> None:
    torch.manual_seed(0)
    model = PMCCambrian.from_preset("tiny").train().requires_grad_(True)
    batch = batch_of(tiny_processor, image=False)
    expected = gradients(model, batch)
    found = gradients(model, with_filler_image(batch, tuple(model.config.tower_specs)))
    # Of the last layers of some towers no feature is taken.
    used = {name for name, _ in model.named_parameters() if not name.startswith("towers.")}
    assert used <= found.keys()
    for name, value in found.items():
        wanted = expected.get(name, torch.zeros_like(value))
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5)
