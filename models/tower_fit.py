"""Whether published weights fit a tower: names, shapes, and a position table of another grid."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from semihvision.core.errors import InputError

from .position_tables import resample_position_table, table_side
from .tower_names import NamePlan
from .towers import VisionTower

POSITION_TABLE = "pos_embed"
_LISTED = 20
"""Names of a kind that a refusal lists; of more it says how many."""


def assemble(target: str, parts: list[Tensor]) -> Tensor:
    """One tensor of timm from those of a file that it consists of."""
    tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
    # transformers keeps these two without the axis of the batch.
    in_batch = target in ("cls_token", POSITION_TABLE)
    return tensor.reshape(1, -1, tensor.shape[-1]) if in_batch else tensor


def check_shapes(
    path: Path, plan: NamePlan, tensors: Mapping[str, Tensor], tower: VisionTower
) -> None:
    """Refuses a file that lacks weights, has others, or has them in another shape."""
    state = tower.backbone.state_dict()
    misshapen = []
    for target in sorted(plan.sources.keys() & state.keys()):
        shape = _shape(target, [tensors[name] for name in plan.sources[target]])
        wanted = tuple(state[target].shape)
        if shape != wanted and not _can_resample(target, shape, wanted, tower):
            misshapen.append(f"{target} {list(shape)} instead of {list(wanted)}")
    listed = [
        ("missing", sorted(state.keys() - plan.sources.keys())),
        ("unexpected", sorted(n for t in plan.sources.keys() - state for n in plan.sources[t])),
        ("mis-shaped", misshapen),
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:_LISTED])}{', ...' * (len(names) > _LISTED)})"
        for kind, names in listed
        if names
    ]
    if problems:
        raise InputError(
            f"{path}: the weights do not fit tower {tower.spec.name!r} "
            f"(timm's {tower.spec.timm_model}, file read as {plan.layout}): {'; '.join(problems)}; "
            f"expected those of {tower.spec.weights or 'this model'}. (A position table of another "
            "grid is taken where the tower has a position_rule.)"
        )


def _shape(target: str, parts: list[Tensor]) -> tuple[int, ...]:
    """Shape that the assembled tensor will have; of the first part where they do not assemble."""
    try:
        return tuple(assemble(target, [part.to("meta") for part in parts]).shape)
    except (RuntimeError, IndexError):
        return tuple(parts[0].shape)


def _can_resample(
    target: str, shape: tuple[int, ...], wanted: tuple[int, ...], tower: VisionTower
) -> bool:
    if target != POSITION_TABLE or tower.spec.position_rule is None or shape[-1] != wanted[-1]:
        return False
    try:
        table_side(torch.empty(shape, device="meta"), _num_prefix(tower))
    except ValueError:
        return False
    return True


def on_own_grid(table: Tensor, tower: VisionTower) -> Tensor:
    """The position table on the tower's own grid."""
    side = int(tower.backbone.patch_embed.grid_size[0])
    rule = tower.spec.position_rule
    if rule is None:
        return table
    return resample_position_table(table, side, num_prefix=_num_prefix(tower), rule=rule)


def _num_prefix(tower: VisionTower) -> int:
    """Rows of the position table in front of the patches'."""
    backbone = tower.backbone
    return 0 if getattr(backbone, "no_embed_class", False) else int(backbone.num_prefix_tokens)
