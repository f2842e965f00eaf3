"""The package's names are lazy and complete."""

import pytest

import evaluation


def test_every_name_resolves() -> None:
    assert all(getattr(evaluation, name) is not None for name in evaluation.__all__)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evaluation.nothing
