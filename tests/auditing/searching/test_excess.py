"""Tests of slices against the rest: SciPy as oracle."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, fisher_exact, t, ttest_ind

from evenhand.auditing.searching.excess import Moments, benjamini_hochberg, interval, moments, p_value, z_score
from evenhand.errors import BadInput
from evenhand.metrics import wilson

NOTHING = Moments(*np.zeros((3,)))


def split(loss, n):
    mask = np.arange(loss.size) < n
    return moments(loss, mask), moments(loss, ~mask)


@pytest.mark.parametrize("seed", range(20))
def test_binary_losses_get_fishers_exact_test(seed):
    rng = np.random.default_rng(seed)
    n, size = rng.integers(1, 60), rng.integers(60, 400)
    loss = (rng.random(size) < rng.choice([0.02, 0.3, 0.9])).astype(float)
    loss[:n] = rng.random(n) < rng.choice([0.02, 0.3, 0.9])
    wrong = [[loss[:n].sum(), n - loss[:n].sum()], [loss[n:].sum(), size - n - loss[n:].sum()]]
    expected = fisher_exact(wrong, alternative="greater").pvalue
    assert p_value(*split(loss, n), binary=True) == pytest.approx(expected, rel=1e-8, abs=1e-14)


def test_fishers_test_of_a_million_rows():
    these, others = Moments(*np.array([5e5, 50_300, 50_300])), Moments(*np.array([5e5, 50_000, 50_000]))
    expected = fisher_exact([[50_300, 449_700], [50_000, 450_000]], alternative="greater").pvalue
    assert p_value(these, others, binary=True) == pytest.approx(expected, rel=1e-5)
    assert p_value(others, these, binary=True) > 0.5


@pytest.mark.parametrize("seed", range(10))
def test_other_losses_get_welchs_test(seed):
    rng = np.random.default_rng(seed)
    loss = np.concatenate([rng.gamma(2, 2, 30), rng.gamma(1, 3, 200)])
    these, others = split(loss, 30)
    oracle = ttest_ind(loss[:30], loss[30:], equal_var=False, alternative="greater")
    assert p_value(these, others, binary=False) == pytest.approx(oracle.pvalue)
    low, high = interval(these, binary=False, confidence=0.9)
    expected = t.interval(0.9, 29, loss[:30].mean(), loss[:30].std(ddof=1) / np.sqrt(30))
    assert (low, high) == pytest.approx(expected)


def test_z_score_is_that_of_pooled_means():
    loss = np.random.default_rng(0).random(100)
    expected = (loss[:20].mean() - loss[20:].mean()) / np.sqrt(loss.var(ddof=1) * (1 / 20 + 1 / 80))
    assert z_score(*split(loss, 20)) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_nothing_to_compare():
    some = Moments(*np.array([5.0, 2.0, 2.0]))
    for binary in (True, False):
        assert p_value(NOTHING, some, binary) == p_value(some, NOTHING, binary) == 1
    assert z_score(NOTHING, some) == z_score(some, NOTHING) == z_score(NOTHING, NOTHING) == 0
    assert interval(NOTHING, True, 0.95) == (0, 1)
    assert interval(NOTHING, False, 0.95) == (-np.inf, np.inf)
    constant = Moments(*np.array([4.0, 2.0, 1.0]))
    assert p_value(constant, constant, binary=False) == 1


def test_binary_interval_is_wilsons():
    assert interval(Moments(*np.array([40.0, 7.0, 7.0])), True, 0.9) == wilson(7, 40, 0.9)


@pytest.mark.parametrize("m", [1, 2, 30])
def test_benjamini_hochberg_is_that_of_scipy(m):
    p = np.random.default_rng(m).random(m).round(2)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))


def test_benjamini_hochberg_of_bad_values():
    assert benjamini_hochberg([]).size == 0
    with pytest.raises(BadInput, match=r"in \[0, 1\]"):
        benjamini_hochberg([0.5, np.nan])
