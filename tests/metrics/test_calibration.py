"""Calibration error, Brier score, log-loss: scikit-learn and a loop as oracles, and what must not change them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from evenhand.errors import BadInput
from evenhand.metrics import (
    brier,
    brier_per_group,
    calibration_error_per_group,
    log_loss,
    log_loss_per_group,
    reliability_per_group,
)

METRICS = [brier_per_group, log_loss_per_group, calibration_error_per_group]
every = pytest.mark.parametrize("metric", METRICS)


def loop_calibration_error(probability, outcome, weight, bins):
    """Bin by bin, row by row: bins are (i / bins, (i + 1) / bins], the first one with 0."""
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    for i in range(bins):
        rows = [r for r, p in enumerate(probability) if edges[i] < p <= edges[i + 1] or (i == 0 and p == 0)]
        gap = sum(weight[r] * (probability[r] - outcome[r]) for r in rows)
        error += abs(gap)
    return error / sum(weight) if sum(weight) else math.nan


@st.composite
def tables(draw):
    n, n_groups = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    digits = draw(st.sampled_from([1, 2, 16]))
    weight = rng.choice([0.25, 1, 3.7], n)
    return rng.random(n).round(digits), rng.integers(0, 2, n), rng.integers(0, n_groups, n), n_groups, weight


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(1, 20))
def test_agrees_with_scikit_learn_and_the_loop(table, bins):
    p, y, group, n_groups, weight = table
    brier_G = brier_per_group(p, y, group, n_groups, weight)
    loss_G = log_loss_per_group(p, y, group, n_groups, weight)
    error_G = calibration_error_per_group(p, y, group, n_groups, weight_N=weight, bins=bins)
    for g in range(n_groups):
        rows = group == g
        assert error_G[g] == pytest.approx(loop_calibration_error(p[rows], y[rows], weight[rows], bins), nan_ok=True)
        if not rows.any():
            assert np.isnan([brier_G[g], loss_G[g], error_G[g]]).all()
            continue
        oracle = {"sample_weight": weight[rows], "labels": [0, 1]}
        assert brier_G[g] == pytest.approx(brier_score_loss(y[rows], p[rows], **oracle), abs=1e-12)
        assert loss_G[g] == pytest.approx(sklearn_log_loss(y[rows], p[rows], **oracle), abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_many_classes_agree_with_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(n_classes), 200), rng.integers(0, n_classes, 200)
    group, weight = rng.integers(0, 2, 200), rng.uniform(0, 2, 200)
    for g in range(2):
        rows = group == g
        oracle = {"sample_weight": weight[rows], "labels": np.arange(n_classes)}
        expected = brier_score_loss(y[rows], p[rows], scale_by_half=False, **oracle)
        assert brier_per_group(p, y, group, 2, weight)[g] == pytest.approx(expected)
        assert log_loss_per_group(p, y, group, 2, weight)[g] == pytest.approx(
            sklearn_log_loss(y[rows], p[rows], **oracle)
        )


def test_two_columns_are_the_binary_score_doubled():
    p, y = np.array([0.1, 0.5, 1.0]), np.array([0, 1, 0])
    np.testing.assert_allclose(brier(np.column_stack([1 - p, p]), y), 2 * brier(p, y))
    np.testing.assert_allclose(log_loss(np.column_stack([1 - p, p]), y), log_loss(p, y))


def test_reliability_is_the_curve_of_scikit_learn():
    rng = np.random.default_rng(1)
    p = np.concatenate([rng.random(500), np.linspace(0, 1, 11)])
    y = rng.random(p.size) < p
    ours = reliability_per_group(p, y, np.zeros(p.size, int), 1, bins=10)
    outcome, probability = calibration_curve(y, p, n_bins=10)
    np.testing.assert_allclose(ours.outcome[0], outcome)
    np.testing.assert_allclose(ours.probability[0], probability)
    assert ours.weight.sum() == p.size


def test_hand_computed_calibration_error():
    p, y = [0.2, 0.2, 0.9, 0.9, 0.9, 0.9], [0, 1, 1, 1, 1, 0]
    error = calibration_error_per_group(p, y, [0] * 6, 1, bins=2)[0]
    assert error == pytest.approx(2 / 6 * abs(0.2 - 0.5) + 4 / 6 * abs(0.9 - 0.75))


@pytest.mark.parametrize("adaptive", [False, True])
def test_one_bin_is_the_gap_of_the_means(adaptive):
    rng = np.random.default_rng(2)
    p, y, weight = rng.random(100), rng.integers(0, 2, 100), rng.random(100)
    error = calibration_error_per_group(p, y, np.zeros(100, int), 1, weight_N=weight, bins=1, adaptive=adaptive)
    assert error[0] == pytest.approx(abs(np.average(p - y, weights=weight)))


def test_adaptive_bins_have_equal_weight_within_each_group():
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.uniform(0, 0.1, 1000), rng.uniform(0.5, 1, 200)])
    group = np.repeat([0, 2], [1000, 200])
    result = reliability_per_group(p, rng.integers(0, 2, 1200), group, 3, bins=10, adaptive=True)
    np.testing.assert_array_equal(result.weight, [[100] * 10, [0] * 10, [20] * 10])
    assert (np.diff(result.probability[[0, 2]]) > 0).all()


def test_adaptive_bins_keep_equal_probabilities_together():
    p = np.repeat([0.1, 0.5, 0.6], [2, 50, 8])
    weight = reliability_per_group(p, p > 0.2, np.zeros(60, int), 1, bins=4, adaptive=True).weight
    assert sorted(weight[0]) == [0, 2, 8, 50]


@pytest.mark.parametrize("options", [{}, {"adaptive": True}])
@settings(max_examples=50, deadline=None)
@given(table=tables(), seed=st.integers(0, 99))
def test_order_and_repetition_of_calibration(options, table, seed):
    p, y, group, n_groups, _ = table
    rng = np.random.default_rng(seed)
    times, shuffled = rng.integers(0, 4, p.size), rng.permutation(p.size)
    repeated = [np.repeat(column, times) for column in (p, y, group)]
    expected = calibration_error_per_group(*repeated, n_groups, **options)
    weighted = calibration_error_per_group(
        p[shuffled], y[shuffled], group[shuffled], n_groups, weight_N=times[shuffled], **options
    )
    np.testing.assert_allclose(weighted, expected, atol=1e-12)


@pytest.mark.parametrize("metric", [brier_per_group, log_loss_per_group])
@settings(max_examples=30, deadline=None)
@given(table=tables(), seed=st.integers(0, 99))
def test_order_and_repetition_of_means(metric, table, seed):
    p, y, group, n_groups, _ = table
    times = np.random.default_rng(seed).integers(0, 4, p.size)
    expected = metric(*(np.repeat(column, times) for column in (p, y, group)), n_groups)
    np.testing.assert_allclose(metric(p[::-1], y[::-1], group[::-1], n_groups, times[::-1]), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_mistakes_cost_what_they_do_in_scikit_learn(dtype):
    p = np.array([0, 1, 1], dtype=dtype)
    assert log_loss(p, [1, 0, 1]).mean() == pytest.approx(sklearn_log_loss([1, 0, 1], p))


@every
@pytest.mark.filterwarnings("error")
def test_no_rows_are_nan(metric):
    assert np.isnan(metric(np.empty(0), np.empty(0, int), np.empty(0, int), 2)).all()
    assert np.isnan(calibration_error_per_group([0.5], [1], [0], 1, weight_N=[0], adaptive=True)).all()


@every
def test_bad_columns_are_refused(metric):
    for p, y, group, message in [
        ([0.5, 1.5], [0, 1], [0, 0], r"probability must be probabilities in \[0, 1\], got 1.5 in row 1"),
        ([np.nan, 0.5], [0, 1], [0, 0], "probability must not be NaN, got NaN in row 0"),
        ([0.5, 0.5], [0, 2], [0, 0], "must be 0 or 1, got 2"),
        ([0.5, 0.5], [0, 1], [0, 1], r"group must be in 0..0, got 1 in row 1"),
    ]:
        with pytest.raises(BadInput, match=message):
            metric(p, y, group, 1)


@pytest.mark.parametrize("adaptive", [False, True])
def test_bad_options_are_refused(adaptive):
    with pytest.raises(BadInput, match="bins must be at least 1, got 0"):
        calibration_error_per_group([0.5], [1], [0], 1, bins=0, adaptive=adaptive)
    with pytest.raises(BadInput, match=r"y must be in 0..2, got 3 in row 1"):
        brier(np.full((2, 3), 1 / 3), [0, 3])
