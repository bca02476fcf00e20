from __future__ import annotations

import pytest
import torch

from evenhand import encoders
from evenhand.encoders.mlp import mlp
from evenhand.errors import BadInput


def test_default_is_32_64() -> None:
    encoder, n_features = mlp((10,))
    assert n_features == 64
    assert [tuple(p.shape) for p in encoder.parameters()] == [(32, 10), (32,), (64, 32), (64,)]
    assert (encoder(torch.randn(5, 10)) >= 0).all()


def test_refuses_images_and_no_width() -> None:
    with pytest.raises(BadInput, match=r"rows that are vectors, got rows of shape \(3, 32, 32\)"):
        mlp((3, 32, 32))
    with pytest.raises(BadInput, match="at least one width"):
        mlp((10,), widths=())


@pytest.mark.parametrize(("name", "shape"), [("mlp", (10,)), ("small_cnn", (3, 32, 32))])
def test_built_by_name_with_a_classifier_on_top(name: str, shape: tuple[int, ...]) -> None:
    assert name in encoders.names()
    assert encoders.build(name, shape, 3)(torch.zeros(2, *shape)).shape == (2, 3)


def test_unknown_encoder_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown encoder 'mpl'; did you mean 'mlp'\?"):
        encoders.build("mpl", (10,), 2)
