from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import tiny
from evenhand.batch import Batch
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.focal import Focal
from evenhand.model import Model


def batch_of(logits: list[list[float]], y: list[int]) -> Batch:
    return Batch(torch.tensor(logits, dtype=torch.float64), torch.tensor(y), None, torch.arange(len(y)))


def loss_of(batch: Batch, **options: Any) -> torch.Tensor:
    return Focal(**options).loss(batch, tiny.echo(batch.x.shape[1]), State())


def test_values_by_hand() -> None:
    # p of the row's own class: 1/2 and 0.880797.
    tiny.assert_values(loss_of(batch_of([[0, 0]], [0])), 0.25 * math.log(2))
    tiny.assert_values(loss_of(batch_of([[2, 0]], [0])), 0.119203**2 * 0.126928)
    # As questions of their own: sigmoid(2) = 0.880797 is right, sigmoid(0) = 1/2 is half wrong.
    wanted = 0.119203**2 * 0.126928 + 0.25 * math.log(2)
    tiny.assert_values(loss_of(batch_of([[2, 0]], [0]), form="sigmoid"), wanted)
    weighted = 0.25 * 0.119203**2 * 0.126928 + 0.75 * 0.25 * math.log(2)
    tiny.assert_values(loss_of(batch_of([[2, 0]], [0]), form="sigmoid", alpha=0.25), weighted)


def reference(batch: Batch, gamma: float, form: str, alpha: float | None) -> float:
    total = 0.0
    for logits, y in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        for c, z in enumerate(logits):
            if form == "softmax" and c != y:
                continue
            odds = sum(math.exp(v - z) for v in logits) if form == "softmax" else 1 + math.exp(-z)
            p = 1 / odds if c == y else 1 - 1 / odds
            weight = 1.0 if alpha is None else alpha if c == y else 1 - alpha
            total += -weight * (1 - p) ** gamma * math.log(p)
    return total / len(batch.y)


@pytest.mark.parametrize(("form", "alpha"), [("softmax", None), ("sigmoid", None), ("sigmoid", 0.25)])
@given(gamma=st.floats(0, 5), seed=st.integers(0, 99))
def test_agrees_with_a_loop(form: str, alpha: float | None, gamma: float, seed: int) -> None:
    torch.manual_seed(seed)
    batch = batch_of((3 * torch.randn(5, 3)).tolist(), torch.randint(3, (5,)).tolist())
    found = loss_of(batch, form=form, gamma=gamma, alpha=alpha)
    assert found.item() == pytest.approx(reference(batch, gamma, form, alpha), rel=1e-7)


def test_gamma_zero_is_cross_entropy() -> None:
    batch = batch_of([[1, -2, 0.5], [0, 3, 1]], [2, 1])
    torch.testing.assert_close(loss_of(batch, gamma=0.0), F.cross_entropy(batch.x, batch.y))
    binary = F.binary_cross_entropy_with_logits(batch.x, F.one_hot(batch.y, 3).double(), reduction="sum") / 2
    torch.testing.assert_close(loss_of(batch, gamma=0.0, form="sigmoid"), binary)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_certain_rows_have_finite_gradients(form: str, gamma: float) -> None:
    batch = batch_of([[800, -800], [-800, 800], [40, 0]], [0, 0, 0])
    x = batch.x.requires_grad_()
    loss = loss_of(batch, form=form, gamma=gamma)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert bool(torch.isfinite(x.grad).all())
    assert x.grad[1].abs().sum() > 0.3


def test_prior_is_where_every_class_begins() -> None:
    data, model = tiny.split(classes=3), tiny.network(3)
    Focal(form="sigmoid", prior=0.01).start(data, model)
    torch.testing.assert_close(model.classifier.bias.sigmoid(), torch.full((3,), 0.01))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, "gamma of Focal must be at least 0, got -1.0"),
        ({"alpha": 0.25}, "alpha of Focal is for form=sigmoid only"),
        ({"prior": 0.01}, "prior of Focal is for form=sigmoid only"),
        ({"form": "sigmoid", "alpha": 1.0}, r"alpha of Focal must be in \(0, 1\) or none, got 1.0"),
        ({"form": "sigmoid", "prior": 0.0}, r"prior of Focal must be in \(0, 1\) or none, got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Focal(**options)


def test_prior_needs_a_bias() -> None:
    model = Model.linear(torch.nn.Identity(), tiny.FEATURES, 2, bias=False)
    with pytest.raises(BadInput, match="prior of Focal needs a classifier with a bias"):
        Focal(form="sigmoid", prior=0.1).start(tiny.split(), model)
