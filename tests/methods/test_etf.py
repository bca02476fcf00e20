from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import tiny
from evenhand.batch import Batch
from evenhand.errors import BadInput
from evenhand.methods.etf import ETF, simplex_etf
from evenhand.model import Model


def batch_of(x: list[list[float]], y: list[int]) -> Batch:
    return Batch(torch.tensor(x, dtype=torch.float64), torch.tensor(y), None, torch.arange(len(y)))


def begin(classes: int = 3, **options: Any) -> tuple[ETF, Model, Any]:
    """A model whose features are its inputs, with as many features as classes."""
    model = tiny.echo(classes)
    method = ETF(**{"construction": "identity", **options})
    return method, model, method.start(tiny.split(classes=classes), model)


def prepared(data: Any, **options: Any) -> tuple[ETF, Model, Any]:
    method = ETF(**options)
    model = method.prepare(tiny.network(data.n_classes, dtype=data.inputs.x.dtype))
    return method, model, method.start(data, model)


# --- the classifier ---


def test_frame_of_the_example() -> None:
    found = simplex_etf(torch.eye(3, dtype=torch.float64))
    tiny.assert_values(found.diagonal(), 0.816497, 0.816497, 0.816497)
    assert found[0, 1].item() == pytest.approx(-0.408248, abs=1e-6)


@given(classes=st.integers(2, 9), extra=st.integers(0, 5), seed=st.integers(0, 99))
def test_gram_matrix_is_that_of_a_simplex(classes: int, extra: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = Model.linear(nn.Identity(), classes + extra, classes).double()
    ETF().start(tiny.split(), model)
    weight = model.classifier.weight
    wanted = classes / (classes - 1) * (torch.eye(classes, dtype=torch.float64) - 1 / classes)
    torch.testing.assert_close(weight @ weight.T, wanted, atol=1e-10, rtol=0)
    cosines = F.cosine_similarity(weight[:, None], weight, dim=2)
    torch.testing.assert_close(cosines.mean(1), torch.zeros(classes, dtype=torch.float64), atol=1e-10, rtol=0)
    assert torch.count_nonzero(model.classifier.bias) == 0


def test_the_classifier_is_fixed() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = prepared(data)
    before = model.classifier.weight.clone()
    method.loss(tiny.whole(data), model, state).backward()
    assert model.classifier.weight.grad is None
    tiny.train(method, model, data, data, state)
    assert torch.equal(model.classifier.weight, before)
    assert method.stages()[0].trains == "encoder"


def test_fewer_features_than_classes_are_refused() -> None:
    with pytest.raises(BadInput, match="ETF needs at least 2 classes and as many features, got 9 and 7"):
        ETF().start(tiny.split(), tiny.network(9))


# --- the loss ---


def test_losses_of_the_example() -> None:
    method, model, state = begin()
    tiny.assert_values(model(torch.tensor([[0.6, 0.8, 0]], dtype=torch.float64))[0, 0], 0.163299)
    tiny.assert_values(method.loss(batch_of([[0.6, 0.8, 0]], [0]), model, state), 0.350034)
    tiny.assert_values(method.loss(batch_of([[1.2, 1.6, 0]], [0]), model, state), 0.700068)


def reference(batch: Batch, weight: torch.Tensor, norms: bool, length_weight: float) -> float:
    total, labels = 0.0, batch.y.tolist()
    for h, y in zip(batch.x, labels, strict=True):
        length = math.sqrt(sum(v * v for v in h.tolist()))
        mean = len(labels) / len(set(labels))
        norm = math.sqrt(mean / labels.count(y)) if norms else 1.0
        dot = norm * sum(a * b for a, b in zip(weight[y].tolist(), h.tolist(), strict=True))
        total += 0.5 * (dot - norm * length) ** 2 / length + length_weight * length
    return total / len(labels)


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("length_weight", [0.0, 0.01])
def test_agrees_with_a_loop(norms: bool, length_weight: float) -> None:
    method, model, state = begin(4, batch_norms=norms, length_weight=length_weight)
    torch.manual_seed(0)
    batch = batch_of(torch.randn(6, 4).tolist(), [0, 0, 0, 1, 1, 3])
    wanted = reference(batch, model.classifier.weight, norms, length_weight)
    assert method.loss(batch, model, state).item() == pytest.approx(wanted, rel=1e-9)


def test_cross_entropy_with_and_without_norms_of_the_batch() -> None:
    batch = batch_of([[1, 0, 0.5], [0, 2, 1], [1, 1, 0]], [0, 0, 1])
    method, model, state = begin(objective="ce")
    torch.testing.assert_close(method.loss(batch, model, state), F.cross_entropy(model(batch.x), batch.y))
    method, model, state = begin(objective="ce", batch_norms=True)
    norms = torch.tensor([0.75**0.5, 1.5**0.5, 1.0])
    torch.testing.assert_close(method.loss(batch, model, state), F.cross_entropy(model(batch.x) * norms, batch.y))


def test_equally_frequent_classes_have_unit_norms() -> None:
    batch = batch_of([[1, 0, 0.5], [0, 2, 1], [1, 1, 0]], [0, 2, 1])
    losses = []
    for norms in (False, True):
        method, model, state = begin(batch_norms=norms)
        losses.append(method.loss(batch, model, state))
    torch.testing.assert_close(*losses)


def test_the_loss_is_zero_at_the_vectors_and_the_length_is_constant_for_the_gradient() -> None:
    method, model, state = begin()
    batch = batch_of((3 * model.classifier.weight).tolist(), [0, 1, 2])
    x = batch.x.requires_grad_()
    loss = method.loss(batch, model, state)
    loss.backward()
    assert abs(loss.item()) < 1e-12
    torch.testing.assert_close(x.grad, torch.zeros_like(x), atol=1e-9, rtol=0)
    wrong = batch_of([[0.0, 2.0, 0.0]], [0])
    x = wrong.x.requires_grad_()
    method.loss(wrong, model, state).backward()
    row = model.classifier.weight[0]
    torch.testing.assert_close(x.grad[0], (row @ x[0] - 2) / 2 * row)


def test_a_feature_of_zero_is_no_obstacle() -> None:
    method, model, state = begin()
    batch = batch_of([[0, 0, 0]], [0])
    x = batch.x.requires_grad_()
    method.loss(batch, model, state).backward()
    assert bool(torch.isfinite(x.grad).all())


def test_mixing_is_a_weighted_sum_of_two_losses() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = prepared(data, mixup=1.0, features="plain")
    batch = tiny.whole(data)
    torch.manual_seed(3)
    found = method.loss(batch, model, state)
    torch.manual_seed(3)
    share = float(torch.distributions.Beta(1.0, 1.0).sample())
    other = torch.randperm(len(data))
    mixed = batch._replace(x=share * batch.x + (1 - share) * batch.x[other])
    plain = ETF(features="plain")
    own, theirs = (plain.loss(mixed._replace(y=y), model, state) for y in (batch.y, batch.y[other]))
    torch.testing.assert_close(found, share * own + (1 - share) * theirs)


# --- features ---


def test_prepare_appends_batch_normalisation_and_unit_length() -> None:
    data = tiny.split()
    model = tiny.network()
    unit = ETF().prepare(model)
    assert unit.classifier is model.classifier
    torch.testing.assert_close(unit.encoder(data.inputs.x).norm(dim=1), torch.ones(60))
    norm = ETF(features="norm").prepare(tiny.network())
    features = norm.encoder(data.inputs.x)
    torch.testing.assert_close(features.mean(0), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.var(0, unbiased=False), torch.ones(7), atol=1e-2, rtol=0)
    assert ETF(features="plain").prepare(model) is model
    learned = len(list(ETF(features="norm").prepare(tiny.network()).parameters()))
    fixed = len(list(ETF(features="norm", fix_norm=True).prepare(tiny.network()).parameters()))
    assert learned == fixed + 2


def test_a_single_row_is_normalised_by_the_running_statistics() -> None:
    data = tiny.split(dtype=torch.float64)
    _, model, _ = prepared(data)
    assert model.training
    x = data.inputs.x[:1]
    one = model.encoder(x)
    torch.testing.assert_close(one, model.eval().encoder(x))


def test_gradient_agrees_with_autograd_of_the_plain_square_on_unit_features() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = prepared(data)
    batch = tiny.whole(data)
    loss = method.loss(batch, model, state)
    cosine = (model.encoder(batch.x) * model.classifier.weight[batch.y]).sum(1)
    torch.testing.assert_close(loss, 0.5 * (1 - cosine).square().mean())


def test_training_brings_features_to_their_vectors() -> None:
    data = tiny.split(200)
    method, model, state = prepared(data)
    losses = tiny.train(method, model, data, data, state, epochs=20)
    assert losses[-10:].mean() < 0.6 * losses[:10].mean()


@pytest.mark.parametrize("option", ["length_weight", "mixup"])
def test_options_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(BadInput, match=f"{option} of ETF must be at least 0, got -1"):
        ETF(**{option: -1.0})
