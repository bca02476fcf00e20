"""Base metrics: a rate and the number of rows behind it, for each cell that is to be compared.

A cell is a group, a class or an attribute value; cells lie along the last axis K. The rates per attribute value are
taken one class against the rest, for every class at once: their shape is [C, A]. A cell without rows has value NaN and
0 rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .counts import Counts, FloatArray, IntArray, ratio


class Rates(NamedTuple):
    """`value` [..., K] in [0, 1], NaN where undefined; `rows` [..., K] behind each value."""

    value: FloatArray
    rows: IntArray


Base = Callable[[Counts], Rates]


def group_accuracy(counts: Counts) -> Rates:
    """Accuracy per group [G]."""
    return Rates(counts.accuracy_G, counts.count_G)


def class_accuracy(counts: Counts) -> Rates:
    """Accuracy per class [C]."""
    return Rates(counts.accuracy_C, counts.count_C)


def selection_rate(counts: Counts) -> Rates:
    """P(prediction = c | a) [C, A]."""
    return _rates(_selected_CA(counts), _rows_CA(counts))


def true_positive_rate(counts: Counts) -> Rates:
    """P(prediction = c | y = c, a) [C, A]."""
    return _rates(_hits_CA(counts), _members_CA(counts))


def false_positive_rate(counts: Counts) -> Rates:
    """P(prediction = c | y ≠ c, a) [C, A]."""
    return _rates(_selected_CA(counts) - _hits_CA(counts), _rows_CA(counts) - _members_CA(counts))


def average_odds(counts: Counts) -> Rates:
    """½(true positive rate + false positive rate) [C, A]; NaN where either is."""
    true_positive, false_positive = true_positive_rate(counts), false_positive_rate(counts)
    return Rates((true_positive.value + false_positive.value) / 2, true_positive.rows + false_positive.rows)


def f1(counts: Counts) -> Rates:
    """F1 of each class against the rest, 2 TP / (2 TP + FP + FN), in [0, 1] [C, A].

    The harmonic mean of precision and recall. Rows are those of the class or predicted as it; with none it is NaN.
    """
    hits_CA, members_CA, selected_CA = _hits_CA(counts), _members_CA(counts), _selected_CA(counts)
    return Rates(ratio(2 * hits_CA, members_CA + selected_CA), members_CA + selected_CA - hits_CA)


def _rates(part: IntArray, whole: IntArray) -> Rates:
    return Rates(ratio(part, whole), whole)


def _hits_CA(counts: Counts) -> IntArray:
    return np.diagonal(counts.counts_ACC, axis1=1, axis2=2).T


def _members_CA(counts: Counts) -> IntArray:
    members_CA: IntArray = counts.counts_ACC.sum(axis=2).T
    return members_CA


def _selected_CA(counts: Counts) -> IntArray:
    selected_CA: IntArray = counts.counts_ACC.sum(axis=1).T
    return selected_CA


def _rows_CA(counts: Counts) -> IntArray:
    rows_A = counts.counts_ACC.sum(axis=(1, 2))
    return np.broadcast_to(rows_A, (counts.n_classes, counts.n_attributes))
