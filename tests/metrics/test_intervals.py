"""Intervals: SciPy as oracle, and the exact coverage of the interval for the worst group."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from evenhand.errors import BadInput
from evenhand.metrics import clopper_pearson, wilson, worst_group

FUNCTIONS = {"wilson": (wilson, "wilson"), "clopper_pearson": (clopper_pearson, "exact")}
both = pytest.mark.parametrize("method", ["wilson", "clopper_pearson"])


@both
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_agrees_with_scipy(method, confidence):
    function, scipy_method = FUNCTIONS[method]
    correct, n = np.array([0, 1, 5, 7, 7, 300, 1000]), np.array([10, 10, 10, 7, 8, 1000, 1000])
    expected = [
        binomtest(int(k), int(m)).proportion_ci(confidence, scipy_method) for k, m in zip(correct, n, strict=True)
    ]
    np.testing.assert_allclose(np.column_stack(function(correct, n, confidence)), expected, atol=1e-9)


@both
@pytest.mark.filterwarnings("error")
def test_no_rows_know_nothing(method):
    assert FUNCTIONS[method][0](0, 0) == (0, 1)


@both
def test_all_or_none_correct_reach_the_end_exactly(method):
    low, high = FUNCTIONS[method][0](np.array([0, 9]), np.array([9, 9]))
    assert (low[0], high[1]) == (0, 1)
    assert 0 < high[0] < 1
    assert 0 < low[1] < 1


@both
def test_shape_is_kept(method):
    low, high = FUNCTIONS[method][0](np.ones((2, 3), dtype=int), np.full((2, 3), 4))
    assert low.shape == high.shape == (2, 3)


@both
def test_bad_proportions_are_refused(method):
    function = FUNCTIONS[method][0]
    with pytest.raises(BadInput, match=r"correct must be in 0..n, got 3 of 2"):
        function([1, 3], [2, 2])
    with pytest.raises(BadInput, match="whole numbers, got float64 and int64"):
        function([0.5], [2])
    with pytest.raises(BadInput, match=r"one shape, got \[1\] and \[2\]"):
        function([1], [2, 2])
    with pytest.raises(BadInput, match="confidence must be between 0 and 1, got 95"):
        function([1], [2], 95)


@both
def test_one_group_has_its_own_interval(method):
    low, high = FUNCTIONS[method][0]([70], [100])
    assert worst_group([70], [100], method=method) == pytest.approx((0.7, low[0], high[0], 0))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=5))
def test_worst_group_is_the_first_smallest_and_lies_in_its_interval(groups):
    correct, n = np.array(groups).T
    result = worst_group(correct, n)
    present = [(c / m, g) for g, (c, m) in enumerate(groups) if m]
    if not present:
        assert result.group is None
        return
    assert (result.value, result.group) == min(present)
    assert 0 <= result.low <= result.value <= result.high <= 1


def test_empty_groups_are_left_out():
    assert worst_group([0, 8, 5], [0, 10, 10]) == worst_group([8, 5], [10, 10])._replace(group=2)


@pytest.mark.filterwarnings("error")
def test_all_groups_empty_know_nothing():
    value, low, high, group = worst_group([0, 0], [0, 0])
    assert math.isnan(value)
    assert (low, high, group) == (0, 1, None)


def test_more_equal_groups_widen_the_upper_end_only():
    few, many = worst_group([80] * 2, [100] * 2), worst_group([80] * 20, [100] * 20)
    assert few.low == many.low
    assert few.high < many.high


def test_bad_worst_group_arguments_are_refused():
    with pytest.raises(BadInput, match="one-dimensional"):
        worst_group([[1]], [[2]])
    with pytest.raises(BadInput, match="method must be wilson or clopper_pearson, got 'wald'"):
        worst_group([1], [2], method="wald")


SIZES = [400, 60, 30, 150]
equal_and_unequal = pytest.mark.parametrize("p", [(0.8,) * 4, (0.95,) * 4, (0.9, 0.7, 0.9, 0.9), (0.6, 0.9, 0.95, 0.8)])


def exact_coverage(p_G, n_G, method, confidence=0.95):
    """P(low ≤ min p ≤ high) without simulation: low is above, or high below, where independent groups say so."""
    tail = 1 - (1 - (1 - confidence) / 2) ** (1 / len(p_G))
    every_high_above = every_low_above = 1.0
    for p, n in zip(p_G, n_G, strict=True):
        correct, size = np.arange(n + 1), np.full(n + 1, n)
        low = FUNCTIONS[method][0](correct, size, confidence)[0]
        high = FUNCTIONS[method][0](correct, size, 1 - 2 * tail)[1]
        probability = binom.pmf(correct, n, p)
        every_low_above *= probability[low > min(p_G)].sum()
        every_high_above *= probability[high >= min(p_G)].sum()
    return every_high_above - every_low_above


@equal_and_unequal
@both
def test_worst_group_covers_the_true_minimum(p, method):
    assert exact_coverage(p, SIZES, method) >= 0.95


@pytest.mark.parametrize("p", [(0.98,) * 4, (0.999, 0.98, 0.98, 0.98), (0.02,) * 4])
def test_exact_worst_group_covers_the_true_minimum_at_the_extremes(p):
    assert exact_coverage(p, SIZES, "clopper_pearson") >= 0.95


@pytest.mark.parametrize("p", [(0.8,) * 4, (0.6, 0.9, 0.95, 0.8)])
def test_simulated_coverage_is_the_exact_one(p):
    correct_G = np.random.default_rng(0).binomial(SIZES, p, size=(2000, 4))
    intervals = [worst_group(correct, np.array(SIZES)) for correct in correct_G]
    covered = np.mean([low <= min(p) <= high for _, low, high, _ in intervals])
    assert covered == pytest.approx(exact_coverage(p, SIZES, "wilson"), abs=0.02)


def test_naive_interval_of_the_worst_group_misses_among_equally_good_groups():
    n = np.array([100] * 4)
    correct_G = np.random.default_rng(0).binomial(n, 0.8, size=(2000, 4)).min(axis=1)
    low, high = wilson(correct_G, np.full_like(correct_G, 100))
    assert np.mean((low <= 0.8) & (high >= 0.8)) < 0.93
    assert exact_coverage((0.8,) * 4, n, "wilson") >= 0.95
