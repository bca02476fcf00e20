"""Paired comparison: SciPy as oracle of the test, exact coverage of the interval, and published values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, multinomial

from evenhand.errors import BadInput
from evenhand.metrics import holm, mcnemar, newcombe, paired_groups

cells = st.tuples(*[st.integers(0, 40)] * 4)


@pytest.mark.parametrize("n", [1, 2, 7, 24])
def test_few_discordant_rows_are_tested_exactly(n):
    b = np.arange(n + 1)
    np.testing.assert_allclose(mcnemar(b, n - b), [binomtest(int(k), n).pvalue for k in b], atol=1e-12)


@pytest.mark.parametrize("n", [25, 26, 300, 100_000])
def test_many_discordant_rows_are_tested_by_mid_p(n):
    b = np.unique(np.linspace(0, n, 50).astype(int))
    exact = np.array([binomtest(int(k), n).pvalue for k in b])
    expected = np.where(2 * b == n, 1.0, exact - binom.pmf(b, n, 0.5))
    np.testing.assert_allclose(mcnemar(b, n - b), expected, rtol=1e-7, atol=1e-12)


def test_level_is_kept():
    for n in (5, 15, 24, 25, 60, 400):
        b = np.arange(n + 1)
        level = binom.pmf(b, n, 0.5)[mcnemar(b, n - b) <= 0.05].sum()
        assert level <= (0.05 if n < 25 else 0.055)


@given(st.integers(0, 500), st.integers(0, 500))
def test_models_are_interchangeable(b, c):
    p = float(mcnemar(b, c))
    assert p == float(mcnemar(c, b))
    assert 0 <= p <= 1
    assert b != c or p == pytest.approx(1)


def slow_newcombe(a, b, c, d, z):
    """Newcombe's method 10, written out for one table (first − second as in the paper)."""
    n = a + b + c + d

    def score(k):
        centre, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
        return (centre - half) / (n + z * z), (centre + half) / (n + z * z)

    (l1, u1), (l2, u2), p1, p2 = score(a + b), score(a + c), (a + b) / n, (a + c) / n
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    top = a * d - b * c
    top = max(top - n / 2, 0) if top > 0 else top
    phi = top / math.sqrt(margins) if margins else 0
    delta = math.sqrt(max((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2, 0))
    epsilon = math.sqrt(max((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2, 0))
    return p1 - p2 - delta, p1 - p2 + epsilon


@given(cells.filter(any))
def test_interval_is_the_formula_of_the_paper(table):
    a, b, c, d = table
    low, high = newcombe(*table)
    slow_low, slow_high = slow_newcombe(a, b, c, d, 1.959963984540054)
    assert (-high, -low) == pytest.approx((slow_low, slow_high), abs=1e-12)
    assert -1 - 1e-12 <= low <= (c - b) / (a + b + c + d) <= high <= 1 + 1e-12


@given(cells)
def test_swapping_the_models_mirrors_the_interval(table):
    a, b, c, d = table
    low, high = newcombe(a, b, c, d)
    assert newcombe(a, c, b, d) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize("n", [15, 40])
@pytest.mark.parametrize("p", [(0.7, 0.1, 0.1, 0.1), (0.5, 0.05, 0.2, 0.25), (0.9, 0.02, 0.06, 0.02)])
def test_interval_covers_the_true_difference(n, p):
    tables = np.array(
        [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    )
    low, high = newcombe(*tables.T)
    covered = (low <= p[2] - p[1]) & (high >= p[2] - p[1])
    assert multinomial.pmf(tables, n, p)[covered].sum() >= 0.94


@pytest.mark.filterwarnings("error")
def test_groups_are_compared_one_by_one():
    rng = np.random.default_rng(0)
    group = rng.choice([0, 1, 3], 500)
    first, second = rng.random(500) < 0.7, rng.random(500) < np.array([0.7, 0.9, 0, 0.5])[group]
    results = paired_groups(first, second, group, 4)
    assert [result.group for result in results] == [0, 1, 2, 3]
    for result in results:
        f, s = first[group == result.group], second[group == result.group]
        if not f.size:
            continue
        assert (result.n, result.accuracy_first, result.accuracy_second) == (f.size, f.mean(), s.mean())
        assert result.difference == pytest.approx(s.mean() - f.mean())
        assert (result.only_first, result.only_second) == ((f & ~s).sum(), (s & ~f).sum())
        assert result.p_value == mcnemar(result.only_first, result.only_second)
        table = [(f & s).sum(), result.only_first, result.only_second, (~f & ~s).sum()]
        assert (result.low, result.high) == newcombe(*table)
    adjusted = [result.p_adjusted for result in results]
    np.testing.assert_array_equal(adjusted, holm([result.p_value for result in results]))
    empty = results[2]
    assert (empty.n, empty.low, empty.high, empty.test) == (0, -1, 1, "exact")
    assert np.isnan([empty.accuracy_first, empty.difference, empty.p_value, empty.p_adjusted]).all()


def test_equal_models_do_not_differ():
    correct = np.repeat([True, False], [90, 10])
    (result,) = paired_groups(correct, correct, np.zeros(100, int), 1)
    assert (result.difference, result.p_value, result.test) == (0, 1, "exact")
    assert result.low < 0 < result.high


def test_the_test_is_named():
    first = np.repeat([1, 0, 1], [24, 25, 51])
    assert paired_groups(first, 1 - first, np.repeat([0, 1], [24, 76]), 2)[0].test == "exact"
    assert paired_groups(first, 1 - first, np.repeat([0, 1], [24, 76]), 2)[1].test == "mid-p"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_order_of_rows_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 2, (3, 50))
    assert paired_groups(*columns, 2) == paired_groups(*columns[:, rng.permutation(50)], 2)


def test_bad_columns_are_refused():
    with pytest.raises(BadInput, match="correct_second must have one entry for each of 2 rows"):
        paired_groups([1, 0], [1], [0, 0], 1)
    with pytest.raises(BadInput, match="correct_first must be 0 or 1, got 2"):
        paired_groups([1, 2], [1, 0], [0, 0], 1)
    with pytest.raises(BadInput, match="confidence must be between 0 and 1, got 95"):
        paired_groups([1], [1], [0], 1, confidence=95)
    with pytest.raises(BadInput, match="numbers of rows must be ≥ 0, got -1"):
        mcnemar([-1], [2])
    with pytest.raises(BadInput, match=r"of one shape, got int64 \[1\], int64 \[2\]"):
        mcnemar([1], [1, 2])
