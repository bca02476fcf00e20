from __future__ import annotations

import pytest
import torch

from evenhand.encoders.small_cnn import small_cnn
from evenhand.errors import BadInput


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 28, 33)])
def test_maps_images_to_features(shape: tuple[int, ...]) -> None:
    encoder, n_features = small_cnn(shape)
    assert encoder(torch.zeros(5, *shape)).shape == (5, n_features)


def test_last_width_sets_the_number_of_features() -> None:
    encoder, n_features = small_cnn((3, 32, 32), widths=(4, 8))
    assert n_features == 16
    assert encoder(torch.zeros(2, 3, 32, 32)).shape == (2, 16)


def test_rows_do_not_mix_when_evaluating() -> None:
    encoder, _ = small_cnn((3, 32, 32))
    x = torch.rand(6, 3, 32, 32)
    encoder.eval()
    torch.testing.assert_close(encoder(x)[2:4], encoder(x[2:4]))


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    encoder, _ = small_cnn((3, 32, 32))
    encoder(torch.rand(8, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_refuses_rows_that_are_no_images() -> None:
    with pytest.raises(BadInput, match=r"takes images \(channels, height, width\), got rows of shape \(32,\)"):
        small_cnn((32,))


def test_refuses_images_that_are_too_small() -> None:
    with pytest.raises(BadInput, match=r"needs 8 pixels a side, got 4×32"):
        small_cnn((3, 4, 32))


def test_needs_a_width() -> None:
    with pytest.raises(BadInput, match="at least one width"):
        small_cnn((3, 32, 32), widths=())
