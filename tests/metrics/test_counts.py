"""Counting: against a loop, scikit-learn's confusion matrix, and the algebra of shards."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score

from evenhand.errors import BadInput
from evenhand.metrics import Counts, count

C, A = 3, 2
rows_strategy = st.lists(
    st.tuples(st.integers(0, C - 1), st.integers(0, C - 1), st.integers(0, A - 1)), min_size=0, max_size=40
)


def count_rows(rows):
    y, prediction, attribute = np.array(rows, dtype=int).reshape(-1, 3).T
    return count(y, prediction, attribute, n_classes=C, n_attributes=A)


@settings(max_examples=50, deadline=None)
@given(rows_strategy)
def test_counts_agree_with_a_loop(rows):
    expected = np.zeros((A, C, C), dtype=int)
    for y, prediction, attribute in rows:
        expected[attribute, y, prediction] += 1
    np.testing.assert_array_equal(count_rows(rows).counts_ACC, expected)


@settings(max_examples=50, deadline=None)
@given(rows_strategy)
def test_groups_and_classes_agree_with_a_loop(rows):
    counts = count_rows(rows)
    for g in range(C * A):
        hits = [y == prediction for y, prediction, a in rows if y * A + a == g]
        assert counts.count_G[g] == len(hits)
        assert counts.correct_G[g] == sum(hits)
        np.testing.assert_equal(counts.accuracy_G[g], sum(hits) / len(hits) if hits else np.nan)
    for c in range(C):
        hits = [y == prediction for y, prediction, _ in rows if y == c]
        assert counts.count_C[c] == len(hits)
        np.testing.assert_equal(counts.accuracy_C[c], sum(hits) / len(hits) if hits else np.nan)


@settings(max_examples=50, deadline=None)
@given(rows_strategy, st.randoms(use_true_random=False))
def test_row_order_is_irrelevant(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert count_rows(shuffled) == count_rows(rows)


@settings(max_examples=50, deadline=None)
@given(rows_strategy, st.integers(0, 40))
def test_merged_shards_are_the_whole(rows, cut):
    assert count_rows(rows[:cut]) + count_rows(rows[cut:]) == count_rows(rows)


def test_confusion_and_recall_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    y, prediction, attribute = rng.integers(0, 4, 500), rng.integers(0, 4, 500), rng.integers(0, 3, 500)
    counts = count(y, prediction, attribute)
    np.testing.assert_array_equal(counts.counts_ACC.sum(axis=0), confusion_matrix(y, prediction))
    np.testing.assert_allclose(counts.accuracy_C, recall_score(y, prediction, average=None))
    for a in range(3):
        mine = attribute == a
        np.testing.assert_array_equal(counts.counts_ACC[a], confusion_matrix(y[mine], prediction[mine]))


def test_group_index_is_label_times_attributes_plus_attribute():
    counts = count([2, 0], [2, 1], [1, 0])
    np.testing.assert_array_equal(counts.count_G, [1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(counts.correct_G, [0, 0, 0, 0, 0, 1])


def test_empty_groups_are_listed_as_label_and_attribute():
    assert count([2, 0], [2, 1], [1, 0]).undefined == [(0, 1), (1, 0), (1, 1), (2, 0)]


def test_sizes_follow_the_largest_index_and_at_least_two_classes():
    assert count([0, 1], [3, 0], [0, 2]).counts_ACC.shape == (3, 4, 4)
    assert count([0], [0]).counts_ACC.shape == (1, 2, 2)
    assert count([], []).counts_ACC.sum() == 0


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.uint64])
def test_small_and_unsigned_types_do_not_overflow(dtype):
    n_classes = 2 if dtype is bool else 100
    labels = np.full(300, n_classes - 1, dtype=dtype)
    assert count(labels, labels, n_classes=n_classes).counts_ACC[0, -1, -1] == 300


def test_json_and_pickle_return_the_same_counts():
    counts = count([0, 1, 1], [0, 1, 0], [0, 1, 1])
    assert Counts.from_list(json.loads(json.dumps(counts.to_list()))) == counts
    assert pickle.loads(pickle.dumps(counts)) == counts


def test_equal_counts_are_one_in_a_set():
    assert len({count([0], [0]), count([0], [0]), count([0], [1])}) == 2


def test_counts_differ_from_other_counts_and_other_things():
    assert count([0], [0]) != count([0], [1])
    assert count([0], [0]) != [[[1, 0], [0, 0]]]


def test_counts_are_read_only_and_do_not_alias_the_input():
    given_ACC = np.zeros((1, 2, 2), dtype=int)
    counts = Counts(given_ACC)
    given_ACC[0, 0, 0] = 7
    assert counts.counts_ACC.sum() == 0
    with pytest.raises(ValueError, match="read-only"):
        counts.counts_ACC[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0]), "y and prediction must be equally long: got 2 and 1 rows"),
        (([0, 1], [0, 1], [0]), "y and attribute must be equally long: got 2 and 1 rows"),
        (([[0, 1]], [0, 1]), r"y must be one-dimensional, got shape \[1, 2\]"),
        (([0.0, 1.0], [0, 1]), "y must be integer indices 0..n-1, got float64"),
        ((["a"], [0]), "y must be integer indices"),
        (([0, -1], [0, 1]), "y must be in 0..1, got -1 in row 1"),
        (([0, 1], [0, 2], None, 2), "prediction must be in 0..1, got 2 in row 1"),
        (([0, 1], [0, 1], [0, 5], 2, 2), "attribute must be in 0..1, got 5 in row 1"),
        (([0], [0], None, 1), "n_classes must be at least 2, got 1"),
        (([0], [0], None, 2, 0), "n_attributes must be at least 1, got 0"),
        (([10**9], [0]), "indices must be 0..n-1, without gaps"),
    ],
)
def test_bad_rows_are_refused_with_what_was_wanted_and_got(arguments, message):
    with pytest.raises(BadInput, match=message):
        count(*arguments)


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ([[0, 0], [0, 0]], r"shape \[A ≥ 1, C ≥ 2, C\], got \[2, 2\]"),
        ([[[1]]], "shape"),
        ([[[1, 2], [3]]], "nested lists"),
        ([[[0.5, 0], [0, 0]]], "whole numbers, got float64"),
        ([[[-1, 0], [0, 0]]], "≥ 0, got -1"),
    ],
)
def test_bad_counts_are_refused(nested, message):
    with pytest.raises(BadInput, match=message):
        Counts.from_list(nested)


def test_shards_of_different_shape_are_refused():
    with pytest.raises(BadInput, match=r"got \[1, 2, 2\] and \[1, 3, 3\]"):
        count([0], [0]) + count([2], [2])
