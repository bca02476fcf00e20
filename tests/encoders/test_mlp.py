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


@pytest.mark.parametrize("name", encoders.names())
def test_every_encoder_builds_a_model_or_refuses_the_shape(name: str) -> None:
    built = 0
    for shape in ((10,), (3, 32, 32)):
        try:
            model = encoders.build(name, shape, 3)
        except BadInput as error:
            assert str(shape) in str(error)
        else:
            built += 1
            assert model(torch.zeros(2, *shape)).shape == (2, 3)
    assert built


def test_unknown_encoder_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown encoder 'mpl'; did you mean 'mlp'\?"):
        encoders.build("mpl", (10,), 2)
