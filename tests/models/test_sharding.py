"""Units and whole tensors without a process group; the rest is in tests/training."""

from types import SimpleNamespace

import pytest

from models.modeling import PMCCambrian
from models.sharding import shard, tower_blocks, units
from semihvision.core.errors import InputError


def test_every_block_and_layer_is_a_unit_and_the_model_comes_last(
    tiny_model: PMCCambrian,
) -> None:
    found = units(tiny_model)
    assert found[-1] == [tiny_model]
    modules = [module for unit in found for module in unit]
    assert len(modules) == len(set(modules))
    wanted = [
        *(block for tower in tiny_model.towers for block in tower_blocks(tower)),
        *tiny_model.samplers,
        *tiny_model.language_model.model.layers,
    ]
    assert set(wanted) <= set(modules)
    assert all(len(tower_blocks(tower)) >= 2 for tower in tiny_model.towers)


def test_units_of_the_published_size_are_small() -> None:
    model = PMCCambrian.from_preset("8b", device="meta")
    seen: set[int] = set()
    sizes = []
    for unit in units(model):
        own = {id(p): p for module in unit for p in module.parameters() if id(p) not in seen}
        seen |= own.keys()
        sizes.append(sum(p.numel() for p in own.values()))
    assert sum(sizes) == sum(p.numel() for p in model.parameters())
    # The head and the embeddings, at 525 million, are the largest.
    assert max(sizes) < 530_000_000
    assert len(sizes) > 150


def test_more_processes_than_units_are_refused(tiny_model: PMCCambrian) -> None:
    mesh = SimpleNamespace(size=lambda: 1000)
    with pytest.raises(InputError, match="1000 processes for a model of"):
        shard(tiny_model, mesh)  # type: ignore[arg-type]
