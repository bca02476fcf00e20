"""How often intervals hold the truth, over samples of a known distribution."""

import numpy as np
import pytest
from scipy.stats import norm

from evenhand.metrics import AUC, CalibrationGaps, bootstrap, bootstrap_counts, calibration_interval

COVERAGE = 250  # simulated samples


def coverage(truth, intervals):
    low, high = np.array(intervals).T
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize("clustered", [False, True])
def test_auc_intervals_hold_the_truth(clustered):
    rng, intervals = np.random.default_rng(6), []
    y = np.repeat([False, True], [80, 60])
    times = 3 if clustered else 1
    for _ in range(COVERAGE):
        score, rows = rng.normal(size=140) + y, np.repeat(np.arange(140), times)
        result = bootstrap(AUC(score[rows], y[rows]), np.zeros(rows.size, int), 1, cluster_N=rows, threads=1)
        intervals.append([end[0] for end in result.interval()])
    assert 0.91 <= coverage(norm.cdf(1 / np.sqrt(2)), intervals) <= 0.985


@pytest.mark.parametrize(("n", "shift"), [(150, 0), (400, 0.1), (2000, 0.14)])
def test_calibration_intervals_hold_the_truth(n, shift):
    rng, intervals, group = np.random.default_rng(7), [], np.zeros(n, int)
    for _ in range(COVERAGE):
        p = rng.uniform(0.15, 0.85, n)
        gaps = bootstrap(CalibrationGaps(p, rng.random(n) < p - shift, 10), group, 1, threads=1)
        intervals.append([end[0] for end in calibration_interval(gaps)])
    assert coverage(shift, intervals) >= 0.92
    assert shift == 0 or np.mean(np.array(intervals)[:, 0] > 0) > 0.2


def f1(counts):
    hits = counts[..., 1, 1]
    return 2 * hits / (2 * hits + counts[..., 0, 1] + counts[..., 1, 0])


@pytest.mark.parametrize("method", ["percentile", "bias_corrected"])
def test_intervals_from_counts_hold_the_truth(method):
    rng, share = np.random.default_rng(8), np.array([[[0.4, 0.1], [0.15, 0.35]], [[0.3, 0.2], [0.1, 0.4]]])
    truth, intervals = f1(share), []
    for _ in range(COVERAGE):
        counts = rng.multinomial([150, 200], share.reshape(2, 4)).reshape(2, 2, 2)
        intervals.append(bootstrap_counts(counts, f1, replicates=400).interval(method=method))
    for g in range(2):
        assert 0.91 <= coverage(truth[g], [(low[g], high[g]) for low, high in intervals]) <= 0.985
