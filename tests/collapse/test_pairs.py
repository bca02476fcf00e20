"""Cosines between classes for their large and their small groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from made import GROUPED, GROUPS, clouds, grouped, moments

from evenhand.collapse import Classifier, Moments, outlier_cosine, pairs
from evenhand.errors import BadInput


def test_the_example_of_two_classes() -> None:
    assert pairs.class_cosine(grouped()) == pytest.approx(0.747409, abs=1e-6)
    assert pairs.majority_cosine(grouped()) == pytest.approx(0, abs=1e-12)
    assert pairs.minority_cosine(grouped()) == pytest.approx(0.948683, abs=1e-6)


def test_training_counts_say_which_group_is_the_majority() -> None:
    other = torch.tensor([1, 5, 1, 5])
    assert pairs.majority_cosine(grouped(), other) == pytest.approx(0.948683, abs=1e-6)
    assert pairs.minority_cosine(grouped(), other) == pytest.approx(0, abs=1e-12)
    assert pairs.majority(grouped(), torch.tensor([1, 5, 5, 1])).tolist() == [1, 2]
    with pytest.raises(BadInput, match="4 counts"):
        pairs.majority(grouped(), torch.tensor([1, 5]))


def test_smallest_of_several_groups() -> None:
    found = Moments(2, 2, 3)
    assert pairs.majority(found, torch.tensor([3, 9, 1, 2, 2, 2])).tolist() == [1, 3]
    assert pairs.minority(found, torch.tensor([3, 9, 1, 2, 2, 2])).tolist() == [2, 4]


def test_more_classes_take_the_mean_over_pairs() -> None:
    features, y, _ = clouds(100, 5, 4)
    mean_CD = np.stack([features[y == c].mean(0) for c in range(4)])
    unit_CD = mean_CD / np.linalg.norm(mean_CD, axis=1, keepdims=True)
    wanted = np.mean([unit_CD[i] @ unit_CD[j] for i in range(4) for j in range(i)])
    assert pairs.class_cosine(moments(features, y)) == pytest.approx(wanted)
    assert pairs.weight_cosine(Classifier.of(mean_CD)) == pytest.approx(wanted)


def test_groups_without_rows_are_nan() -> None:
    found = moments(GROUPED[:6], GROUPS[:6] // 2, GROUPS[:6], attributes=2)
    assert pairs.majority_cosine(found) == pytest.approx(0, abs=1e-12)
    assert math.isnan(pairs.minority_cosine(found))
    assert math.isnan(pairs.minority_cosine(moments(GROUPED, GROUPS // 2)))


def test_cosine_with_outliers() -> None:
    found = moments(np.array([[1.0, 0], [3, 4], [0, 2]]), np.arange(3), classes=4)
    outside = moments(np.array([[0.0, 1], [0, 3]]), np.array([0, 1]))
    np.testing.assert_allclose(outlier_cosine(found, outside), [0, 0.8, 1, np.nan])
    np.testing.assert_allclose(
        outlier_cosine(found, moments(np.array([[0.0, -1]]), np.array([0]))), [0, 0.8, 1, np.nan]
    )
    with pytest.raises(BadInput, match="2 features, got 3"):
        outlier_cosine(found, Moments(3, 1))
