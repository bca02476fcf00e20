from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.hsic import HSIC, dependence, median_distance, squared_distances

TWO = torch.tensor([0, 0, 1, 1])


def attribute_kernel(values: int, bandwidth: float = 1.0) -> Tensor:
    return torch.exp(-(1 - torch.eye(values, dtype=torch.float64)) / bandwidth)


def of_values(u: list[float], a: list[int], bandwidth: float = 1.0) -> Tensor:
    kernel = torch.exp(-squared_distances(torch.tensor(u, dtype=torch.float64)[:, None]) / bandwidth)
    return dependence(kernel, torch.tensor(a), attribute_kernel(2, bandwidth))


def reference(u: Tensor, a: list[int], bandwidth: float) -> float:
    """trace(L H K H) / (m - 1)^2 with everything written out."""
    m = len(u)
    K = [[math.exp(-((u[i] - u[j]) ** 2).sum().item() / bandwidth) for j in range(m)] for i in range(m)]
    L = [[1.0 if a[i] == a[j] else math.exp(-1) for j in range(m)] for i in range(m)]
    H = [[(i == j) - 1 / m for j in range(m)] for i in range(m)]
    K, L, H = (torch.tensor(matrix, dtype=torch.float64) for matrix in (K, L, H))
    return (torch.trace(L @ H @ K @ H) / (m - 1) ** 2).item()


# --- values computed by hand ---


def test_values() -> None:
    tiny.assert_values(of_values([0, 0, 1, 1], [0, 0, 1, 1]), 0.177590)
    tiny.assert_values(of_values([0, 0, 1, 1], [0, 1, 0, 1]), 0)
    tiny.assert_values(of_values([0, 0, 1, 1], [0, 0, 1, 1], bandwidth=2.0), 0.068808)
    tiny.assert_values(of_values([0.1, 0.4, 0.7], [0, 1, 1]), 0.048513)


def test_loss_adds_the_dependence_of_the_probability_of_class_1() -> None:
    prob = torch.tensor([0.1, 0.4, 0.7], dtype=torch.float64)
    batch = Batch(torch.stack([(1 - prob).log(), prob.log()], 1), TWO[:3] * 0, torch.tensor([0, 1, 1]), torch.arange(3))
    data, model, method = Split.of(batch.x, batch.y, batch.group, n_classes=2), tiny.echo(), HSIC(weight=2.0)
    loss = method.loss(batch, model, method.start(data, model))
    tiny.assert_values(loss, -math.log(0.9 * 0.6 * 0.3) / 3 + 2 * 0.048513)


# --- a slow reference ---


@pytest.mark.parametrize(("classes", "on"), [(2, "output"), (3, "output"), (2, "feature")])
def test_agrees_with_the_trace_formula(classes: int, on: Any) -> None:
    data, model = tiny.split(classes=classes, dtype=torch.float64), tiny.network(classes, dtype=torch.float64)
    method = HSIC(weight=3.0, on=on)
    batch = tiny.whole(data)
    features = model.encoder(batch.x).detach()
    prob = torch.softmax(model(batch.x), 1).detach()
    u = features if on == "feature" else prob if classes == 3 else prob[:, 1:]
    pairs = sorted(((u[i] - u[j]) ** 2).sum().item() for i in range(60) for j in range(60) if i != j)
    bandwidth = pairs[(len(pairs) - 1) // 2] if on == "feature" else 1.0
    wanted = ERM().loss(batch, model, method.start(data, model)) + 3 * reference(u, data.attribute.tolist(), bandwidth)
    torch.testing.assert_close(method.loss(batch, model, method.start(data, model)), wanted)


def test_several_attributes_differ_by_how_many_of_them_do() -> None:
    data = tiny.split(attributes=(2, 3))
    kernel = HSIC().start(data, tiny.network()).kernel_AA
    distance = [[(a // 3 != b // 3) + (a % 3 != b % 3) for b in range(6)] for a in range(6)]
    torch.testing.assert_close(kernel, torch.exp(-torch.tensor(distance, dtype=torch.float32)))


@pytest.mark.parametrize("on", ["output", "feature"])
def test_gradient_agrees_with_finite_differences(on: Any) -> None:
    data, model = tiny.split(24, dtype=torch.float64), tiny.network(dtype=torch.float64)
    method = HSIC(on=on, bandwidth=0.7)
    state, batch = method.start(data, model), tiny.whole(data)
    x = batch.x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: method.loss(batch._replace(x=x), model, state), (x,))


# --- properties and limits ---


def test_weight_zero_is_plain_training() -> None:
    data, model = tiny.split(), tiny.network()
    method = HSIC(weight=0.0)
    state = method.start(data, model)
    assert torch.equal(method.loss(tiny.whole(data), model, state), ERM().loss(tiny.whole(data), model, state))


@pytest.mark.parametrize("on", ["output", "feature"])
@pytest.mark.parametrize("rows", [[3], [0, 4], [0]])
def test_one_row_or_one_attribute_value_adds_nothing(on: Any, rows: list[int]) -> None:
    data, model, method = tiny.split(), tiny.network(), HSIC(on=on)
    data = Split.of(data.inputs.x, data.y, torch.arange(60) % 2, n_classes=2)
    state, batch = method.start(data, model), data.batch(torch.tensor(rows))
    torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))


@pytest.mark.parametrize("seed", range(5))
def test_dependence_is_not_negative(seed: int) -> None:
    torch.manual_seed(seed)
    kernel = torch.exp(-squared_distances(torch.rand(20, 4)))
    assert dependence(kernel, torch.randint(3, (20,)), attribute_kernel(3).float()) > -1e-7


def test_equal_features_leave_loss_and_gradient_finite() -> None:
    data, model, method = tiny.split(), tiny.network(), HSIC(on="feature")
    state, batch = method.start(data, model), tiny.whole(data)
    loss = method.loss(batch._replace(x=torch.zeros_like(batch.x)), model, state)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_bandwidth_is_the_median_of_different_rows_and_1_where_that_is_0() -> None:
    assert median_distance(torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])) == 4  # distances 1, 4, 9
    assert median_distance(torch.zeros(4, 2)) == 1
    assert median_distance(torch.zeros(1, 2)) == 1


def test_far_from_the_origin_distances_keep_their_digits() -> None:
    values = torch.rand(30, 8) + 1e3
    exact = torch.cdist(values.double(), values.double()).square()
    torch.testing.assert_close(squared_distances(values).double(), exact, atol=1e-4, rtol=1e-3)


def test_training_reduces_the_dependence() -> None:
    data = tiny.split(300)
    found = {}
    for weight in (0.0, 50.0):
        method, model = HSIC(weight=weight), tiny.network()
        tiny.train(method, model, data, data, method.start(data, model), epochs=20)
        prob = torch.softmax(model(data.inputs.x), 1)[:, 1:].detach()
        found[weight] = dependence(torch.exp(-squared_distances(prob)), data.attribute, attribute_kernel(2).float())
    assert found[50.0] < 0.5 * found[0.0]


# --- errors ---


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="weight of HSIC must be at least 0, got -1"):
        HSIC(weight=-1)
    with pytest.raises(BadInput, match="bandwidth of HSIC must be above 0, got 0"):
        HSIC(bandwidth=0)
