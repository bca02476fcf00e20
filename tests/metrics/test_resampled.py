"""Intervals from replicates: NumPy's quantiles as oracle, the corrections, and what is left out."""

import math

import numpy as np
import pytest

from evenhand.errors import BadInput
from evenhand.metrics import Resampled

RNG = np.random.default_rng(0)
SKEWED = Resampled(np.array([1.0, 2.0]), RNG.gamma(2, size=(500, 2)))


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_percentiles_are_those_of_numpy(confidence):
    low, high = SKEWED.interval(confidence)
    tail = (1 - confidence) / 2
    np.testing.assert_allclose([low, high], np.quantile(SKEWED.replicates, [tail, 1 - tail], axis=0))


def test_basic_mirrors_the_percentiles():
    low, high = SKEWED.interval()
    basic_low, basic_high = SKEWED.interval(method="basic")
    np.testing.assert_allclose([basic_low, basic_high], [2 * SKEWED.value - high, 2 * SKEWED.value - low])


def test_bias_correction_does_nothing_at_the_median_and_follows_the_value():
    replicates = RNG.normal(size=(1001, 3))
    middle = Resampled(np.median(replicates, axis=0), replicates)
    np.testing.assert_allclose(middle.interval(method="bias_corrected"), middle.interval(), atol=1e-12)
    low, high = Resampled(middle.value + 0.5, replicates).interval(method="bias_corrected")
    assert (low > middle.interval()[0]).all()
    assert (high > middle.interval()[1]).all()


@pytest.mark.parametrize("method", ["percentile", "basic", "bias_corrected"])
@pytest.mark.filterwarnings("error")
def test_undefined_replicates_are_left_out(method):
    replicates = RNG.normal(size=(50, 3))
    replicates[10:30, 1] = np.nan
    replicates[:, 2] = np.nan
    low, high = Resampled(np.array([0, 0, np.nan]), replicates).interval(method=method)
    kept = Resampled(np.zeros(1), np.delete(replicates[:, 1:2], np.s_[10:30], axis=0)).interval(method=method)
    assert (low[1], high[1]) == pytest.approx((kept[0][0], kept[1][0]))
    assert np.isnan([low[2], high[2]]).all()


def test_no_variation_is_no_interval():
    value = np.array([1.0, 0.3])
    low, high = Resampled(value, np.tile(value, (50, 1)) * (1 + 1e-16 * RNG.normal(size=(50, 2)))).interval()
    assert np.isnan([low, high]).all()


def test_reduce_uses_the_same_resamples():
    gap = SKEWED.reduce(lambda value: value.max(axis=-1) - value.min(axis=-1))
    assert gap.value == 1
    np.testing.assert_array_equal(gap.replicates, np.ptp(SKEWED.replicates, axis=1))


def test_worst_of_one_group_is_its_own_interval():
    one = Resampled(np.array([0.5]), RNG.normal(size=(400, 1)))
    low, high = one.interval()
    assert one.worst() == pytest.approx((0.5, low[0], high[0], 0))


def test_worst_is_mirrored_for_losses():
    value, replicates = np.array([0.3, 0.1, 0.2]), RNG.normal(0.2, 0.05, size=(4000, 3))
    lowest = Resampled(value, replicates).worst()
    highest = Resampled(-value, -replicates).worst(higher_is_better=False)
    assert lowest.group == highest.group == 1
    assert (highest.value, highest.low, highest.high) == pytest.approx((-0.1, -lowest.high, -lowest.low))


def test_worst_accounts_for_the_choice():
    rng, covered, naive = np.random.default_rng(1), 0, 0
    for _ in range(400):
        value = rng.normal(0.8, 0.02, 8)
        resampled = Resampled(value, value + rng.normal(0, 0.02, (700, 8)))
        _, low, high, group = resampled.worst()
        covered += low <= 0.8 <= high
        own = np.array(resampled.interval())[:, group]
        naive += own[0] <= 0.8 <= own[1]
    assert covered >= 0.94 * 400
    assert naive < 0.9 * 400


@pytest.mark.filterwarnings("error")
def test_worst_leaves_out_what_is_undefined():
    replicates = RNG.normal(size=(100, 3))
    replicates[:, 0], replicates[:, 1] = np.nan, 0
    assert Resampled(np.array([np.nan, 0, 5]), replicates).worst().group == 2
    nothing = Resampled(np.full(2, np.nan), np.full((50, 2), np.nan)).worst()
    assert nothing.group is None
    assert all(math.isnan(end) for end in nothing[:3])


def test_bad_arguments_are_refused():
    with pytest.raises(BadInput, match="confidence must be between 0 and 1, got 95"):
        SKEWED.interval(95)
    with pytest.raises(BadInput, match="method must be percentile, basic or bias_corrected, got 'bca'"):
        SKEWED.interval(method="bca")
    with pytest.raises(BadInput, match=r"one value for each group, got shape \[\]"):
        Resampled(np.array(1.0), np.ones(10)).worst()
