from __future__ import annotations

import pytest
import torch

from evenhand import encoders
from evenhand.encoders.identity import identity


@pytest.mark.parametrize(("shape", "n_features"), [((5,), 5), ((3, 4, 2), 24), ((1,), 1)])
def test_features_are_the_inputs_in_one_row(shape: tuple[int, ...], n_features: int) -> None:
    encoder, found = identity(shape)
    x = torch.randn(7, *shape)
    assert found == n_features
    assert torch.equal(encoder(x), x.view(7, n_features))
    assert not list(encoder.parameters())


def test_only_the_classifier_has_weights() -> None:
    model = encoders.build("identity", (5,), 3)
    assert [name for name, _ in model.named_parameters()] == ["classifier.weight", "classifier.bias"]
    assert model(torch.zeros(2, 5)).shape == (2, 3)
