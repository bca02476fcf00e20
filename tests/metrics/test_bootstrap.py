"""The bootstrap: against resampling rows one replicate at a time, whole clusters, threads, seeds, counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evenhand.errors import BadInput
from evenhand.metrics import (
    AUC,
    METRICS,
    AveragePrecision,
    CalibrationGaps,
    Mean,
    Tally,
    Together,
    auc_per_group,
    average_precision_per_group,
    bootstrap,
    bootstrap_counts,
    brier,
    brier_per_group,
    calibration_error_per_group,
    count,
    per_replicate,
    reliability_per_group,
)
from evenhand.metrics.bootstrap import CELLS
from evenhand.metrics.strata import BLOCK, SEGMENT, draw


def tally_per_group(p, y, group, n_groups, weight_N=None):
    cell = 2 * y.astype(int) + (p > 0.5)
    return np.array([np.bincount(cell[group == g], weight_N[group == g], 4) for g in range(n_groups)])


def gaps_per_group(p, y, group, n_groups, weight_N=None):
    """Bins of the gaps that have rows; the others are 0."""
    found = reliability_per_group(p, y, group, n_groups, weight_N=weight_N)
    total = found.weight.sum(axis=1, keepdims=True)
    share = np.divide(found.weight, total, out=np.full(found.weight.shape, np.nan), where=total > 0)
    return np.where(found.weight > 0, share * (found.probability - found.outcome), 0 * share)


STATISTICS = {
    "auc": (AUC, auc_per_group),
    "average_precision": (AveragePrecision, average_precision_per_group),
    "brier": (lambda p, y: Mean(brier(p, y)), brier_per_group),
    "calibration": (CalibrationGaps, gaps_per_group),
    "tally": (lambda p, y: Tally(2 * y.astype(int) + (p > 0.5), 4), tally_per_group),
}
every = pytest.mark.parametrize(("make", "metric"), STATISTICS.values(), ids=STATISTICS)


def table(seed, n=60, n_groups=3, digits=1):
    rng = np.random.default_rng(seed)
    p = rng.random(n).round(digits)
    return p, rng.random(n) < p, rng.integers(0, n_groups, n)


@every
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), digits=st.sampled_from([1, 16]), n=st.integers(1, 40))
def test_weights_of_a_resample_are_weights_of_the_metric(make, metric, seed, digits, n):
    p, y, group = table(seed, n, digits=digits)
    weight_RN = np.random.default_rng(seed).integers(0, 3, (4, n)).astype(float)
    for g in range(3):
        rows, evaluate = make(p, y).prepare(np.flatnonzero(group == g))
        expected = [metric(p, y, group, 3, weight_N=weight_N)[g] for weight_N in weight_RN]
        np.testing.assert_allclose(evaluate(weight_RN[:, rows]), expected, atol=1e-12)


@every
@pytest.mark.parametrize("clustered", [False, True])
def test_values_are_those_of_the_metric_and_replicates_lie_around_them(make, metric, clustered):
    p, y, group = table(0, 3000, digits=16)
    weight = np.random.default_rng(0).uniform(0.5, 2, p.size)
    cluster = np.arange(p.size) // 2 if clustered else None
    result = bootstrap(make(p, y), group, 4, weight_N=weight, cluster_N=cluster, replicates=100)
    expected = metric(p, y, group, 4, weight_N=weight)
    np.testing.assert_allclose(result.value, expected)
    assert result.replicates.shape == (100, *expected.shape)
    sd = result.replicates[:, :3].std(axis=0)
    assert (np.abs(result.replicates[:, :3].mean(axis=0) - expected[:3]) < 0.06 * np.abs(expected[:3]) + 3 * sd).all()
    assert (sd > 0).all()


@pytest.mark.parametrize("clustered", [False, True])
def test_statistics_together_see_the_same_rows(clustered):
    p, y, group = table(11, 400)
    both = Together((AUC(p, y), AUC(-p, y), Mean(p), Tally(y.astype(int), 2)))
    result = bootstrap(both, group, 3, cluster_N=np.arange(400) // 3 if clustered else None, replicates=50)
    assert result.replicates.shape == (50, 3, 5)
    np.testing.assert_allclose(result.replicates[..., 0] + result.replicates[..., 1], 1)
    expected = [auc_per_group(p, y, group, 3), [p[group == g].mean() for g in range(3)]]
    np.testing.assert_allclose(result.value[:, [0, 2]].T, expected)
    np.testing.assert_array_equal(result.value[:, 3:].sum(axis=1), np.bincount(group))


@pytest.mark.parametrize("n_units", [3, 1000, SEGMENT + 1, 3 * SEGMENT + 7])
def test_draws_are_multinomial(n_units):
    drawn = np.empty((20 if n_units > 3 else 2000, n_units))
    draw(np.random.default_rng(0), drawn)
    assert (drawn.sum(axis=1) == n_units).all()
    assert drawn.var() == pytest.approx(1 - 1 / n_units, rel=0.05)
    halves = drawn[:, : n_units // 2].sum(axis=1)
    share = (n_units // 2) / n_units
    assert halves.mean() == pytest.approx(n_units * share, abs=4 * np.sqrt(n_units * share * (1 - share) / len(drawn)))
    assert 0.3 < halves.var() / (n_units * share * (1 - share)) < 2


def test_replicates_are_distributed_as_those_of_a_loop():
    p, y, group = table(1, 150, n_groups=1)
    rng = np.random.default_rng(1)
    slow = np.array([roc_auc_score(y[rows], p[rows]) for rows in rng.integers(0, 150, (1500, 150))])
    fast = bootstrap(AUC(p, y), group, 1, replicates=1500).replicates[:, 0]
    assert fast.mean() == pytest.approx(slow.mean(), abs=4 * slow.std() / np.sqrt(1500) * np.sqrt(2))
    assert fast.std() == pytest.approx(slow.std(), rel=0.1)
    np.testing.assert_allclose(np.quantile(fast, [0.05, 0.95]), np.quantile(slow, [0.05, 0.95]), atol=0.015)


def test_threads_change_nothing_and_seeds_do():
    p, y, group = table(2, 500)
    one, many = (bootstrap(AUC(p, y), group, 3, threads=threads, replicates=50) for threads in (1, 3))
    np.testing.assert_array_equal(one.replicates, many.replicates)
    assert (one.replicates != bootstrap(AUC(p, y), group, 3, seed=1, replicates=50).replicates).any()


def test_large_groups_are_drawn_block_by_block():
    p, y, _ = table(3, BLOCK + 10, digits=16)
    result = bootstrap(AUC(p, y), np.zeros(p.size, int), 1, replicates=4)
    assert len(set(result.replicates[:, 0])) == 4
    assert result.replicates == pytest.approx(result.value[0], abs=0.01)


def test_clusters_are_drawn_whole():
    rng = np.random.default_rng(4)
    value, group = rng.normal(size=300), rng.integers(0, 2, 300)
    persons = bootstrap(Mean(value), group, 2, replicates=800).replicates.std(axis=0)
    images = np.repeat(np.arange(300), 9)
    shuffled = rng.permutation(images.size)
    images = images[shuffled]
    clustered = bootstrap(Mean(value[images]), group[images], 2, cluster_N=images.astype(str), replicates=800)
    naive = bootstrap(Mean(value[images]), group[images], 2, replicates=800)
    np.testing.assert_allclose(clustered.replicates.std(axis=0), persons, rtol=0.12)
    np.testing.assert_allclose(naive.replicates.std(axis=0), persons / 3, rtol=0.12)


def test_groups_that_share_clusters_are_resampled_together():
    rng = np.random.default_rng(5)
    value = rng.normal(size=200)
    person, group = np.tile(np.arange(200), 2), np.repeat([0, 2], 200)
    both = bootstrap(Mean(value[person]), group, 3, cluster_N=person)
    np.testing.assert_allclose(both.replicates[:, 0], both.replicates[:, 2])
    gap = both.reduce(lambda mean: mean[..., 0] - mean[..., 2])
    assert np.isnan(gap.interval()).all()
    apart = bootstrap(Mean(value[person]), group, 3).reduce(lambda mean: mean[..., 0] - mean[..., 2])
    assert apart.replicates.std() > 0.05


def test_chains_of_clusters_join_strata():
    group, cluster = np.array([0, 1, 1, 2, 3, 4]), np.array(["a", "a", "b", "b", "c", "d"])
    value = np.arange(6.0)
    replicates = bootstrap(Mean(value), group, 6, cluster_N=cluster, replicates=300).replicates
    assert np.isnan(replicates[:, 5]).all()
    assert (replicates[:, 3:5] == [4, 5]).all()  # alone in their stratum: always drawn
    assert ((replicates[:, 1] == 1) == np.isnan(replicates[:, 2])).all()  # "a" twice: "b", and with it group 2, is out


def test_gaps_add_up_to_the_calibration_error():
    p, y, group = table(7, 500, digits=16)
    error = bootstrap(CalibrationGaps(p, y), group, 4, replicates=50).reduce(lambda gap: np.abs(gap).sum(axis=-1))
    np.testing.assert_allclose(error.value, calibration_error_per_group(p, y, group, 4))


def test_resampled_counts_are_resampled_rows():
    rng = np.random.default_rng(9)
    y, prediction, attribute = rng.integers(0, 2, (3, 400))
    gap = METRICS["equal_opportunity_difference"]
    fast = bootstrap_counts(count(y, prediction, attribute).counts_ACC, per_replicate(gap), replicates=1500)
    assert fast.value == gap(count(y, prediction, attribute))
    tallies = bootstrap(Tally(2 * y + prediction, 4), attribute, 2, replicates=1500)
    slow = tallies.reduce(lambda c: np.abs(np.diff(c[..., 3] / (c[..., 2] + c[..., 3]), axis=-1))[..., 0])
    assert slow.value == pytest.approx(fast.value)
    assert fast.replicates.mean() == pytest.approx(slow.replicates.mean(), abs=0.008)
    assert fast.replicates.std() == pytest.approx(slow.replicates.std(), rel=0.1)


@pytest.mark.filterwarnings("error")
def test_resampled_counts_keep_the_size_of_each_stratum():
    counts = np.array([[[5, 1], [2, 2]], [[0, 0], [0, 0]], [[0, 7], [0, 0]]])
    result = bootstrap_counts(counts, lambda c: c.astype(float), replicates=50)
    assert (result.replicates.sum(axis=(2, 3)) == [10, 0, 7]).all()
    assert (result.replicates[:, 2] == counts[2]).all()


def test_many_cells_are_resampled_in_pieces():
    counts, pieces = np.zeros((8, 300, 300), dtype=int), []
    counts[:, 0, :9] = 5
    result = bootstrap_counts(counts, lambda c: pieces.append(len(c)) or c[..., :9].sum((-2, -1)), replicates=20)
    assert (result.replicates == 45).all()
    assert sum(pieces) == 20 + 1
    assert max(pieces) * counts.size <= CELLS


@pytest.mark.filterwarnings("error")
@every
def test_empty_groups_and_no_rows_are_undefined(make, metric):
    p, y, group = np.array([0.1, 0.9, 0.2]), np.array([False, True, True]), np.array([2, 2, 2])
    result = bootstrap(make(p, y), group, 4, replicates=20)
    assert not np.nan_to_num(result.value[[0, 1, 3]]).any()
    assert np.isnan(bootstrap(make(p[:0], y[:0]), group[:0], 1, replicates=20).interval()).all()


def test_bad_arguments_are_refused():
    p, y, group = table(10)
    for change, message in [
        ({"replicates": 1}, "replicates must be at least 2, got 1"),
        ({"group_N": group + 9}, r"group must be in 0..2"),
        ({"group_N": group[:9]}, "group must have one entry for each of 60 rows"),
        ({"n_groups": 0}, "n_groups must be at least 1, got 0"),
        ({"weight_N": [1]}, "weight must have one entry for each of 60 rows"),
        ({"cluster_N": [1]}, "cluster must have one entry for each of 60 rows"),
    ]:
        with pytest.raises(BadInput, match=message):
            bootstrap(AUC(p, y), **({"group_N": group, "n_groups": 3} | change))
    with pytest.raises(BadInput, match=r"counts must be whole numbers ≥ 0 of shape \[S, …\], got float64 \[2, 2\]"):
        bootstrap_counts(np.ones((2, 2)), np.sum)
    with pytest.raises(BadInput, match="replicates must be at least 2"):
        bootstrap_counts(np.ones((2, 2, 2), int), np.sum, replicates=0)
