"""Ranking metrics: scikit-learn as oracle, a loop as reference, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from evenhand.errors import BadInput
from evenhand.metrics import (
    auc,
    auc_per_group,
    average_precision,
    average_precision_per_group,
    one_vs_rest,
)

ORACLES = [(auc_per_group, roc_auc_score), (average_precision_per_group, average_precision_score)]
both = pytest.mark.parametrize("metric", [auc_per_group, average_precision_per_group])


def loop_auc(score, y, weight):
    """Every pair of a positive and a negative, one by one."""
    won = total = 0.0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero(y == 0):
            total += weight[i] * weight[j]
            won += weight[i] * weight[j] * (1 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0)
    return won / total if total else np.nan


@st.composite
def tables(draw, weighted=True):
    n, n_groups = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    score = rng.integers(0, draw(st.sampled_from([2, 5, 1000])), n) / draw(st.sampled_from([1, 7]))
    weight = rng.choice([0.25, 1, 3.7], n) if weighted else None
    return score, rng.integers(0, 2, n), rng.integers(0, n_groups, n), n_groups, weight


@pytest.mark.parametrize(("metric", "oracle"), ORACLES)
@settings(max_examples=150, deadline=None)
@given(table=tables())
def test_agrees_with_scikit_learn_with_ties_and_weights(metric, oracle, table):
    score, y, group, n_groups, weight = table
    weighted = metric(score, y, group, n_groups, weight)
    plain = metric(score, y, group, n_groups)
    for g in range(n_groups):
        rows = group == g
        if len(set(y[rows])) < 2:
            assert np.isnan(weighted[g])
            assert np.isnan(plain[g])
            continue
        assert weighted[g] == pytest.approx(oracle(y[rows], score[rows], sample_weight=weight[rows]), abs=1e-12)
        assert plain[g] == pytest.approx(oracle(y[rows], score[rows]), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(tables())
def test_auc_is_the_share_of_pairs_in_order(table):
    score, y, _, _, weight = table
    assert auc(score, y, weight) == pytest.approx(loop_auc(score, y, weight), abs=1e-12, nan_ok=True)


@both
@settings(max_examples=50, deadline=None)
@given(table=tables(), seed=st.integers(0, 99))
def test_order_of_rows_and_monotone_transforms_change_nothing(metric, table, seed):
    score, y, group, n_groups, weight = table
    expected = metric(score, y, group, n_groups, weight)
    shuffled = np.random.default_rng(seed).permutation(len(score))
    moved = metric(score[shuffled], y[shuffled], group[shuffled], n_groups, weight[shuffled])
    np.testing.assert_allclose(moved, expected, atol=1e-12)
    np.testing.assert_allclose(metric(np.exp(score / 1000), y, group, n_groups, weight), expected, atol=1e-12)


@both
@settings(max_examples=50, deadline=None)
@given(table=tables(), seed=st.integers(0, 99))
def test_a_weight_is_a_repetition(metric, table, seed):
    score, y, group, n_groups, _ = table
    times = np.random.default_rng(seed).integers(0, 4, len(score))
    repeated = metric(np.repeat(score, times), np.repeat(y, times), np.repeat(group, times), n_groups)
    np.testing.assert_allclose(metric(score, y, group, n_groups, times), repeated, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(tables())
def test_reversed_scores_give_one_minus_auc(table):
    score, y, group, n_groups, weight = table
    auc_G = auc_per_group(score, y, group, n_groups, weight)
    np.testing.assert_allclose(auc_per_group(-score, y, group, n_groups, weight), 1 - auc_G, atol=1e-12)


@both
def test_groups_on_any_scale_of_weights(metric):
    rng = np.random.default_rng(0)
    score, y, group = rng.normal(size=3000), rng.integers(0, 2, 3000), rng.integers(0, 3, 3000)
    weight = np.array([1e-12, 1.0, 1e12])[group]
    np.testing.assert_allclose(metric(score, y, group, 3, weight), metric(score, y, group, 3), rtol=1e-9)


@pytest.mark.parametrize(("metric", "oracle"), ORACLES)
def test_one_vs_rest_agrees_with_scikit_learn(metric, oracle):
    rng = np.random.default_rng(1)
    y, group, weight = rng.integers(0, 3, 300), rng.integers(0, 2, 300), rng.uniform(0, 2, 300)
    score = rng.dirichlet(np.ones(3), 300).round(2)
    value_CG = one_vs_rest(metric, score, y, group, 2, weight_N=weight)
    for c in range(3):
        for g in range(2):
            rows = group == g
            expected = oracle(y[rows] == c, score[rows, c], sample_weight=weight[rows])
            assert value_CG[c, g] == pytest.approx(expected, abs=1e-12)


def test_macro_average_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    y, score = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    ours = one_vs_rest(auc_per_group, score, y, np.zeros(200, int), 1).mean()
    assert ours == pytest.approx(roc_auc_score(y, score, multi_class="ovr"), abs=1e-12)


@both
@pytest.mark.filterwarnings("error")
def test_empty_single_class_and_weightless_groups_are_nan(metric):
    score, y, group = [0.1, 0.9, 0.2, 0.8, 0.5, 0.4], [0, 1, 1, 1, 0, 1], [0, 0, 1, 1, 3, 3]
    np.testing.assert_array_equal(metric(score, y, group, 5, [1, 1, 1, 1, 0, 1]), [1, np.nan, np.nan, np.nan, np.nan])
    assert np.isnan(metric([], [], np.array([], int), 2)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.bool_])
def test_scores_of_any_real_type(dtype):
    score = np.array([0, 1, 0, 1, 1, 0]).astype(dtype)
    y = np.array([0, 1, 1, 1, 0, 0])
    assert auc(score, y) == pytest.approx(roc_auc_score(y, score.astype(float)))


def test_infinite_scores_are_the_extremes():
    assert auc([-np.inf, 0, np.inf], [0, 1, 1]) == 1
    assert average_precision([-np.inf, 0.0, np.inf], [0, 1, 1]) == 1


def test_many_groups_sort_as_few_do():
    rng = np.random.default_rng(3)
    score, y, group = rng.random(2000), rng.integers(0, 2, 2000), rng.integers(0, 4, 2000)
    spread = auc_per_group(score, y, group * 30_000, 100_000)
    np.testing.assert_array_equal(spread[::30_000], auc_per_group(score, y, group, 4))


@both
def test_bad_columns_are_refused(metric):
    good = {"score_N": [0.5, 0.1], "y_N": [0, 1], "group_N": [0, 0], "n_groups": 1}
    for change, message in [
        ({"score_N": [0.5, np.nan]}, "score must not be NaN, got NaN in row 1"),
        ({"score_N": ["a", "b"]}, "score must be numbers"),
        ({"y_N": [0, 2]}, "y must be 0 or 1, got 2"),
        ({"y_N": ["0", "1"]}, "y must be 0 or 1, got <U1"),
        ({"y_N": [0]}, r"y must have one entry for each of 2 rows, got shape \[1\]"),
        ({"group_N": [0, 1]}, r"group must be in 0..0, got 1 in row 1"),
        ({"group_N": [0.0, 0.0]}, "group must be integer indices"),
        ({"n_groups": 0}, "n_groups must be at least 1, got 0"),
        ({"weight_N": [1, -1]}, "weights must be finite and ≥ 0, got -1 in row 1"),
        ({"weight_N": [np.inf, 1]}, "weights must be finite and ≥ 0, got inf in row 0"),
    ]:
        with pytest.raises(BadInput, match=message):
            metric(**(good | change))
