"""Hard, medium and easy classes."""

import math

import numpy as np
import pytest

from evenhand.errors import BadInput
from evenhand.metrics import third_accuracy, thirds

REFERENCE = [0.9, 0.2, 0.5, 0.7, 0.1, 0.6]


def as_lists(classes):
    return {name: members.tolist() for name, members in classes.items()}


def test_vector():
    assert as_lists(thirds(REFERENCE)) == {"hard": [4, 1], "medium": [2, 5], "easy": [3, 0]}


@pytest.mark.parametrize(("n", "sizes"), [(3, [1, 1, 1]), (4, [1, 2, 1]), (5, [1, 3, 1]), (100, [33, 34, 33])])
def test_remainder_goes_to_the_middle(n, sizes):
    classes = thirds(np.arange(n) / n)
    assert [len(members) for members in classes.values()] == sizes
    assert np.concatenate(list(classes.values())).tolist() == list(range(n))


def test_equal_accuracies_keep_the_order_of_their_index():
    assert as_lists(thirds([0.5] * 3)) == {"hard": [0], "medium": [1], "easy": [2]}


def test_second_model_is_not_sorted_again():
    other = [0.0, 1.0, 0.25, 0.5, 0.5, 0.75]
    assert third_accuracy(other, thirds(REFERENCE)) == {"hard": 0.75, "medium": 0.5, "easy": 0.25}


@pytest.mark.filterwarnings("error")
def test_classes_without_examples_are_left_out():
    result = third_accuracy([math.nan, 1.0, math.nan, math.nan, 0.5, 0.25], thirds(REFERENCE))
    np.testing.assert_equal(result, {"hard": 0.75, "medium": 0.25, "easy": math.nan})


def test_bad_accuracies_are_refused():
    with pytest.raises(BadInput, match="at least 3 classes, all with an accuracy, got 2 of 2"):
        thirds([0.1, 0.2])
    with pytest.raises(BadInput, match="got 2 of 3"):
        thirds([0.1, math.nan, 0.3])
    with pytest.raises(BadInput, match="one-dimensional"):
        thirds([REFERENCE])
    with pytest.raises(BadInput, match="got 5 accuracies"):
        third_accuracy([0.5] * 5, thirds(REFERENCE))
