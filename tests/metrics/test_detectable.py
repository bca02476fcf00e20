"""Detectable gaps: the power that they promise, by exact enumeration of a test, and their limits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from evenhand.errors import BadInput
from evenhand.metrics import detectable_gap, rows_needed, size_warning


def exact_power(p, p_rest, n, n_rest, level=0.05):
    """P(the pooled two-sided test of two proportions rejects), summed over every possible pair of counts."""
    k, m = np.arange(n + 1)[:, None], np.arange(n_rest + 1)[None]
    pooled = (k + m) / (n + n_rest)
    variance = pooled * (1 - pooled) * (1 / n + 1 / n_rest)
    z = np.divide(k / n - m / n_rest, np.sqrt(variance), out=np.zeros(variance.shape), where=variance > 0)
    rejects = 2 * norm.sf(abs(z)) <= level
    return float((binom.pmf(k, n, p) * binom.pmf(m, n_rest, p_rest) * rejects).sum())


@pytest.mark.parametrize(("n", "n_rest"), [(20, 400), (40, 1000), (200, 200), (300, 2000)])
@pytest.mark.parametrize("p_rest", [0.6, 0.85, 0.95])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_the_test_finds_the_gap_as_often_as_promised(n, n_rest, p_rest, power):
    gap = float(detectable_gap(n, n_rest, p_rest, power=power))
    assert exact_power(p_rest - gap, p_rest, n, n_rest) == pytest.approx(power, abs=0.05)


def test_closed_form_without_a_rest_to_estimate():
    n = rows_needed(0.1, 0.9)
    z_level, z_power = norm.isf(0.025), norm.ppf(0.8)
    assert n == math.ceil(((z_level * math.sqrt(0.9 * 0.1) + z_power * math.sqrt(0.8 * 0.2)) / 0.1) ** 2)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.02, 1), st.floats(0.01, 1), st.integers(1, 10**6) | st.just(math.inf))
def test_rows_needed_is_the_inverse(p_rest, part, n_rest):
    gap = part * p_rest
    n = rows_needed(gap, p_rest, n_rest)
    if n is None:
        assert not detectable_gap(2**50, n_rest, p_rest) < gap * 0.999
        return
    assert detectable_gap(n, n_rest, p_rest) <= gap * (1 + 1e-9)
    assert n == 1 or not detectable_gap(n - 1, n_rest, p_rest) < gap * (1 - 1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10**5), st.integers(1, 10**5), st.floats(0.05, 1))
def test_more_rows_never_hide_a_gap(n, n_rest, p_rest):
    few, more_here, more_there = np.nan_to_num(
        detectable_gap([n, 2 * n, n], [n_rest, n_rest, 2 * n_rest], p_rest), nan=2.0
    )
    assert more_here <= few + 1e-12
    assert more_there <= few + 1e-12


def test_stricter_tests_see_less():
    gaps = [detectable_gap(100, 1000, 0.9, level, power) for level, power in ((0.05, 0.8), (0.01, 0.8), (0.05, 0.9))]
    assert gaps[0] < gaps[1]
    assert gaps[0] < gaps[2]


@pytest.mark.filterwarnings("error")
def test_nothing_can_be_seen_without_rows_or_room_below():
    assert np.isnan(detectable_gap([0, 10, 1, 50], [10, 0, 1, 50], [0.9, 0.9, 0.9, 0.0])).all()


@pytest.mark.filterwarnings("error")
def test_a_perfect_rest_still_has_a_detectable_gap():
    assert 0 < detectable_gap(50, math.inf, 1.0) < 0.2
    assert detectable_gap(10**9, 10**9, 0.9) < 1e-4


def test_shapes_broadcast():
    assert detectable_gap(np.full((2, 3), 50), 100, [0.5, 0.7, 0.9]).shape == (2, 3)


@pytest.mark.parametrize(
    ("n", "gap", "words"),
    [
        (40, 0.1904, "with 40 rows, only gaps above 19 points can be seen"),
        (900, 0.043, "with 900 rows, only gaps above 4.3 points can be seen"),
        (90_000, 0.01, "with 90000 rows, only gaps above 1 point can be seen"),
        (1, math.nan, "with 1 row, no gap can be seen"),
    ],
)
def test_plain_words(n, gap, words):
    assert size_warning(n, gap) == words


def test_bad_arguments_are_refused():
    with pytest.raises(BadInput, match=r"accuracy_rest must be in 0..1, got 1.5"):
        detectable_gap(10, 10, [0.5, 1.5])
    with pytest.raises(BadInput, match=r"n and n_rest must be in 0..inf, got -1"):
        detectable_gap(-1, 10, 0.5)
    with pytest.raises(BadInput, match=r"power in \(level / 2, 1\), got 0.05 and 1"):
        rows_needed(0.1, 0.9, power=1)
    with pytest.raises(BadInput, match=r"gap must be above 0 and at most accuracy_rest = 0.5, got 0.6"):
        rows_needed(0.6, 0.5)
    with pytest.raises(BadInput, match="n_rest must be above 0, got 0"):
        rows_needed(0.1, 0.5, 0)
