"""The solver against scikit-learn's, on its own objective."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Generator, Tensor
from torch.nn import functional as F

import tiny
from evenhand.methods._logistic import L1Fit, fit_l1_logistic


def rows(n: int = 150, d: int = 12, classes: int = 2, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Any:
    """Correlated features of which a few matter."""
    rng = Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=rng, dtype=dtype) @ (
        torch.eye(d, dtype=dtype) + 0.3 * torch.rand(d, d, generator=rng, dtype=dtype)
    )
    y = (x[:, :classes] + torch.randn(n, classes, generator=rng, dtype=dtype)).argmax(1)
    return (x - x.mean(0)) / x.std(0), y


def objective(data: Any, penalty: float, layer: Tensor, bias: Tensor, *, form: str, charged: bool) -> float:
    """Written down once more, over the rows (x, y) of one problem."""
    x, y = data
    logits = x @ layer.T + bias
    if form == "softmax":
        loss = F.cross_entropy(logits, y)
    else:
        loss = F.binary_cross_entropy_with_logits(logits, y[:, None].double())
    size = layer.abs().sum() + (bias.abs().sum() if charged else 0)
    return (loss + penalty * size).item()


def theirs(x: Tensor, y: Tensor, C: float, member_N: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """Coefficients and intercept of scikit-learn at its optimum."""
    model = LogisticRegression(C=C, l1_ratio=1, tol=1e-7, max_iter=5000, **options)
    x, y = x[member_N > 0], y[member_N > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x.numpy(), y.numpy())
    return torch.from_numpy(model.coef_), torch.from_numpy(np.atleast_1d(model.intercept_))


def of_subsamples(x: Tensor, y: Tensor, C: float, n_draws: int = 4, **options: Any) -> tuple[L1Fit, Tensor, float]:
    """Ours on some halves of the rows at once: the fits, the (N, S) membership, and the penalty."""
    rng = Generator().manual_seed(1)
    half = len(y) // 2
    member = torch.zeros(len(y), n_draws, dtype=x.dtype)
    for s in range(n_draws):
        member[torch.randperm(len(y), generator=rng)[:half], s] = 1
    penalty = 1 / (C * half)
    return fit_l1_logistic(x, y, member / half, torch.full((n_draws,), penalty), **options), member, penalty


# --- an outside oracle ---


@pytest.mark.parametrize("C", [1.0, 0.1, 0.01])
def test_agrees_with_liblinear_on_every_subsample(C: float) -> None:
    x, y = rows()
    fits, member, penalty = of_subsamples(x, y, C, intercept="penalised")
    for s in range(4):
        layer, bias = theirs(x, y, C, member[:, s], solver="liblinear")
        own = x[member[:, s] > 0], y[member[:, s] > 0]
        wanted = objective(own, penalty, layer, bias, form="binary", charged=True)
        assert fits.objective[s].item() == pytest.approx(wanted, rel=1e-5)
        torch.testing.assert_close(fits.weight[s], layer, atol=2e-2, rtol=0)


@pytest.mark.parametrize(("form", "classes"), [("binary", 2), ("softmax", 3)])
@pytest.mark.parametrize("C", [1.0, 0.2])
def test_agrees_with_saga_where_the_intercept_is_free(form: Any, classes: int, C: float) -> None:
    x, y = rows(classes=classes)
    fits, member, penalty = of_subsamples(x, y, C, 2, n_classes=classes, form=form)
    for s in range(2):
        layer, bias = theirs(x, y, C, member[:, s], solver="saga")
        own = x[member[:, s] > 0], y[member[:, s] > 0]
        wanted = objective(own, penalty, layer, bias, form=form, charged=False)
        assert fits.objective[s].item() == pytest.approx(wanted, rel=1e-5)


def test_one_against_the_rest_is_a_binary_problem_for_each_class() -> None:
    x, y = rows(classes=3)
    fits, _, _ = of_subsamples(x, y, 0.3, n_classes=3, form="ovr", intercept="penalised")
    total = torch.zeros(4, dtype=torch.float64)
    for c in range(3):
        alone, _, _ = of_subsamples(x, (y == c).long(), 0.3, intercept="penalised")
        torch.testing.assert_close(fits.weight[:, c], alone.weight[:, 0], atol=2e-2, rtol=0)
        total += alone.objective
    torch.testing.assert_close(fits.objective, total, rtol=1e-5, atol=0)


def test_more_features_than_rows_and_separable_classes() -> None:
    x, y = rows(40, 80)
    fits, member, penalty = of_subsamples(x, y, 1.0, 2, intercept="penalised", tolerance=1e-7, max_steps=1000)
    for s in range(2):
        layer, bias = theirs(x, y, 1.0, member[:, s], solver="liblinear")
        own = x[member[:, s] > 0], y[member[:, s] > 0]
        wanted = objective(own, penalty, layer, bias, form="binary", charged=True)
        assert fits.objective[s].item() == pytest.approx(wanted, rel=1e-4)


def test_single_precision_reaches_the_same_objective() -> None:
    exact, _, _ = of_subsamples(*rows(), 0.3)
    x, y = rows()
    single, _, _ = of_subsamples(x.float(), y, 0.3)
    assert single.weight.dtype == torch.float32
    torch.testing.assert_close(single.objective.double(), exact.objective, rtol=1e-4, atol=0)


# --- properties ---


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    classes=st.integers(2, 4),
    form=st.sampled_from(["softmax", "ovr"]),
    strength=st.floats(0.01, 3),
)
def test_no_weight_can_be_moved_for_the_better(seed: int, classes: int, form: Any, strength: float) -> None:
    """The subgradient condition: |slope| at most the penalty, and equal to it where the weight is not 0."""
    x, y = rows(60, 5, classes, seed=seed)
    y[:classes] = torch.arange(classes)
    penalty = 1 / (60 * strength)
    weight_N1 = torch.full((60, 1), 1 / 60, dtype=torch.float64)
    options: Any = {"n_classes": classes, "form": form, "tolerance": 1e-10, "max_steps": 2000}
    fits = fit_l1_logistic(x, y, weight_N1, torch.tensor([penalty]), **options)
    layer, bias = fits.weight[0].clone().requires_grad_(), fits.bias[0].clone().requires_grad_()
    logits = x @ layer.T + bias
    own = F.one_hot(y, classes).double()
    loss = (
        F.cross_entropy(logits, y) if form == "softmax" else F.binary_cross_entropy_with_logits(logits, own) * classes
    )
    loss.backward()
    at_rest = layer.grad.abs() <= penalty * 1.01
    balanced = (layer.grad + penalty * layer.detach().sign()).abs() <= penalty * 0.01
    assert bool(torch.where(layer == 0, at_rest, balanced).all())
    torch.testing.assert_close(bias.grad, torch.zeros_like(bias), atol=penalty * 0.01, rtol=0)


def test_a_large_penalty_leaves_no_weight_and_the_frequency_of_the_class() -> None:
    x, y = rows()
    weights = torch.full((150, 1), 1 / 150, dtype=torch.float64)
    fits = fit_l1_logistic(x, y, weights, torch.tensor([10.0]))
    assert torch.count_nonzero(fits.weight) == 0
    torch.testing.assert_close(fits.bias.sigmoid().flatten(), y.double().mean().view(1), atol=1e-3, rtol=0)
    penalised = fit_l1_logistic(x, y, weights, torch.tensor([10.0]), intercept="penalised")
    tiny.assert_values(penalised.objective, 0.693147)
    assert torch.count_nonzero(penalised.bias) == 0


def test_without_intercept_there_is_none() -> None:
    x, y = rows()
    fits, _, _ = of_subsamples(x, y, 1.0, intercept="none")
    assert torch.count_nonzero(fits.bias) == 0
    assert fits.weight.shape == (4, 1, 12)


def test_problems_do_not_disturb_each_other() -> None:
    """Penalties and weights of one problem leave the others' minima where they are."""
    x, y = rows()
    weights = torch.rand(150, 3, generator=Generator().manual_seed(0), dtype=torch.float64) / 75
    penalties = torch.tensor([1e-3, 1e-2, 1e-1], dtype=torch.float64)
    together = fit_l1_logistic(x, y, weights, penalties)
    for s in range(3):
        alone = fit_l1_logistic(x, y, weights[:, s : s + 1], penalties[s : s + 1])
        torch.testing.assert_close(together.objective[s : s + 1], alone.objective, rtol=1e-5, atol=0)


def test_few_steps_are_a_start_that_more_steps_better() -> None:
    x, y = rows()
    found = [of_subsamples(x, y, 1.0, max_steps=steps)[0].objective for steps in (1, 2, 5, 50)]
    assert all(bool((after <= before).all()) for before, after in pairwise(found))
    assert bool((found[0] > found[-1] * 1.01).all())
