import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from models.losses import (
    LossKind,
    chunked_cross_entropy,
    count_trained_tokens,
    loss_from_hidden,
    loss_from_logits,
)

IGNORE = -100
KINDS: tuple[LossKind, ...] = ("plain", "chunked")


def problem(seed: int = 0, rows: int = 3, length: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, length, 8, generator=generator)
    labels = torch.randint(0, 11, (rows, length), generator=generator)
    return hidden, labels.masked_fill(labels > 6, IGNORE)


def head() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(8, 11, bias=False)


@given(st.integers(0, 1000), st.integers(1, 30))
def test_chunks_change_neither_value_nor_gradient(seed: int, chunk_rows: int) -> None:
    hidden, labels = problem(seed)
    hidden, labels = hidden.flatten(0, 1), labels.flatten().clamp(min=0)
    results = []
    for chunked in (False, True):
        h, w = hidden.clone().requires_grad_(), head().weight.detach().clone().requires_grad_()
        if chunked:
            loss = chunked_cross_entropy(h, w, labels, chunk_rows)
        else:
            loss = F.cross_entropy(F.linear(h, w), labels, reduction="sum")
        torch.autograd.backward(loss * 0.7)
        results.append((loss.detach(), h.grad, w.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_three_ways_one_sum() -> None:
    hidden, labels = problem()
    logits = head()(hidden)
    whole = loss_from_logits(logits, labels, IGNORE)
    for kind in KINDS:
        part = loss_from_hidden(hidden, labels, head(), IGNORE, kind=kind)
        torch.testing.assert_close(part, whole)
    expected = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=IGNORE, reduction="mean"
    )
    torch.testing.assert_close(whole / count_trained_tokens(labels, IGNORE), expected)


def test_what_is_frozen_gets_no_gradient() -> None:
    hidden, labels = problem()
    frozen = head().requires_grad_(False)
    hidden.requires_grad_()
    torch.autograd.backward(loss_from_hidden(hidden, labels, frozen, IGNORE, kind="chunked"))
    assert frozen.weight.grad is None
    assert hidden.grad is not None
    assert hidden.grad.any()
    trained = head()
    loss = loss_from_hidden(hidden.detach(), labels, trained, IGNORE, kind="chunked")
    torch.autograd.backward(loss)
    assert trained.weight.grad is not None
    with torch.no_grad():
        loss = loss_from_hidden(hidden, labels, trained, IGNORE, kind="chunked")
    assert not loss.requires_grad


def test_the_weight_gradient_is_summed_in_float32() -> None:
    # 4,096 equal contributions of one chunk each: summed in bfloat16 they would stop growing.
    hidden = torch.ones(4096, 1, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.zeros(4096, dtype=torch.int64)
    torch.autograd.backward(chunked_cross_entropy(hidden, weight, targets, 1))
    assert weight.grad is not None
    assert weight.grad[:, 0].tolist() == [-2048, 2048]
    loss = chunked_cross_entropy(hidden, weight, targets, 7)
    assert loss.item() == pytest.approx(4096 * math.log(2), rel=1e-5)


def test_no_trained_token_gives_zero_and_no_gradient() -> None:
    hidden, _ = problem()
    labels = torch.full((3, 9), IGNORE)
    hidden.requires_grad_()
    loss = loss_from_hidden(hidden, labels, head(), IGNORE, kind="chunked")
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()
    assert count_trained_tokens(labels, IGNORE) == 0


def test_a_head_that_is_not_linear_is_refused() -> None:
    hidden, labels = problem()
    with pytest.raises(ValueError, match="linear head without bias, found Linear"):
        loss_from_hidden(hidden, labels, nn.Linear(8, 11), IGNORE, kind="chunked")
    with pytest.raises(ValueError, match="found Sequential; choose the plain loss"):
        loss_from_hidden(hidden, labels, nn.Sequential(head()), IGNORE, kind="chunked")
