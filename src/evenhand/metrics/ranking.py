"""Ranking metrics: how well scores order positives before negatives, for all groups with one sort."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .columns import Column, binary, indices, scores, weights
from .counts import FloatArray, IntArray, ratio


def auc(score: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve of all rows: `auc_per_group` with one group."""
    return float(auc_per_group(score, y, np.zeros(np.shape(score), dtype=np.int64), 1, weight)[0])


def average_precision(score: ArrayLike, y: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Average precision of all rows: `average_precision_per_group` with one group."""
    return float(average_precision_per_group(score, y, np.zeros(np.shape(score), dtype=np.int64), 1, weight)[0])


def auc_per_group(
    score_N: ArrayLike, y_N: ArrayLike, group_N: ArrayLike, n_groups: int, weight_N: ArrayLike | None = None
) -> FloatArray:
    """P(a positive scores above a negative) + ½ P(they tie), within each group [G], in [0, 1].

    `score_N` [N] numbers, larger means more likely positive; `y_N` [N] 0 or 1; `group_N` [N] in 0..n_groups−1;
    `weight_N` [N] ≥ 0, where weight 2 is the same as the row twice. A group without positives or without negatives is
    NaN.

    Raises:
        BadInput: NaN scores, other labels, groups out of range, bad weights, different lengths.
    """
    runs = _runs(score_N, y_N, group_N, n_groups, weight_N)
    above_M = runs.before(runs.positive_M) + runs.positive_M / 2
    return ratio(runs.per_group(runs.negative_M * above_M), runs.positive_G * runs.negative_G)


def average_precision_per_group(
    score_N: ArrayLike, y_N: ArrayLike, group_N: ArrayLike, n_groups: int, weight_N: ArrayLike | None = None
) -> FloatArray:
    """Precision at every threshold, weighted by the recall it adds, within each group [G], in [0, 1].

    Arguments and errors as for `auc_per_group`. A group without positives or without negatives is NaN (scikit-learn
    gives 0 and 1: neither says anything about the order).
    """
    runs = _runs(score_N, y_N, group_N, n_groups, weight_N)
    hits_M = runs.before(runs.positive_M) + runs.positive_M
    selected_M = hits_M + runs.before(runs.negative_M) + runs.negative_M
    precision_M = np.nan_to_num(ratio(hits_M, selected_M))
    both_G = (runs.positive_G > 0) & (runs.negative_G > 0)
    return np.where(both_G, ratio(runs.per_group(runs.positive_M * precision_M), runs.positive_G), np.nan)


def one_vs_rest(
    metric: Callable[..., FloatArray],
    score_NC: ArrayLike,
    y_N: ArrayLike,
    group_N: ArrayLike,
    n_groups: int,
    *,
    weight_N: ArrayLike | None = None,
) -> FloatArray:
    """A ranking metric for each class against all others [C, G].

    `metric` is `auc_per_group` or `average_precision_per_group`, `score_NC` [N, C] a score per class, `y_N` [N] class
    indices. The mean over classes is scikit-learn's `multi_class="ovr", average="macro"`.

    Raises:
        BadInput: as `metric` does, or classes out of range.
    """
    score_NC = scores("score", score_NC, ndim=2)
    y_N = indices("y", y_N, *score_NC.shape)
    columns = [metric(score_N, y_N == c, group_N, n_groups, weight_N) for c, score_N in enumerate(score_NC.T)]
    return np.stack(columns) if columns else np.empty((0, n_groups))


class _Runs(NamedTuple):
    """Rows of one group with equal scores, merged: weight of positives and negatives, groups in order, best first."""

    positive_M: FloatArray  # noqa: N815
    negative_M: FloatArray  # noqa: N815
    group_M: IntArray  # noqa: N815
    n_groups: int

    def per_group(self, value_M: FloatArray) -> FloatArray:
        return np.bincount(self.group_M, value_M, self.n_groups).astype(np.float64)  # without rows: integers

    def before(self, value_M: FloatArray) -> FloatArray:
        """Sum over the runs of the same group with higher scores."""
        start_G = np.cumsum(total_G := self.per_group(value_M)) - total_G
        below_zero_by_rounding: FloatArray = np.cumsum(value_M) - value_M - start_G[self.group_M]
        return np.maximum(below_zero_by_rounding, 0)

    @property
    def positive_G(self) -> FloatArray:
        return self.per_group(self.positive_M)

    @property
    def negative_G(self) -> FloatArray:
        return self.per_group(self.negative_M)


def _runs(score: ArrayLike, y: ArrayLike, group: ArrayLike, n_groups: int, weight: ArrayLike | None) -> _Runs:
    if n_groups < 1:
        raise BadInput(f"n_groups must be at least 1, got {n_groups}")
    score_N = scores("score", score)
    y_N, group_N = binary("y", y, score_N.size), indices("group", group, score_N.size, n_groups)
    weight_N = weights(weight, score_N.size)
    order_N = by_group_then_score(score_N, group_N, n_groups)
    score_N, y_N, group_N = score_N[order_N], y_N[order_N], group_N[order_N]
    start_M = run_starts(score_N, group_N)
    if weight_N is None:
        positive_N, all_M = y_N.astype(np.float64), np.diff(start_M, append=y_N.size).astype(np.float64)
    else:
        # Each group on its own scale: the sums of a light group are not drowned by those of a heavy one.
        weight_N = weight_N[order_N] / np.maximum(np.bincount(group_N, weight_N[order_N], n_groups), 1e-300)[group_N]
        positive_N, all_M = weight_N * y_N, _sums(weight_N, start_M)
    positive_M = _sums(positive_N, start_M)
    return _Runs(positive_M, np.maximum(all_M - positive_M, 0), group_N[start_M], n_groups)


def by_group_then_score(score_N: Column, group_N: IntArray, n_groups: int) -> IntArray:
    """The order of rows that puts groups one after another, each with its highest scores first."""
    order_N: IntArray = np.argsort(score_N)[::-1]
    if n_groups == 1:
        return order_N
    narrow = np.uint16 if n_groups <= 2**16 else np.int64  # NumPy sorts 16 bits in linear time
    return order_N[np.argsort(group_N[order_N].astype(narrow), kind="stable")]


def best_first(score_N: Column, rows: IntArray) -> IntArray:
    """The rows in order of score, highest first."""
    return rows[np.argsort(score_N[rows])[::-1]]


def ranks(score: Column, others: Column) -> tuple[IntArray, IntArray]:
    """How many of the descending `others` are above each score, and how many at or above."""
    ascending = others[::-1]
    above = others.size - np.searchsorted(ascending, score, side="right")
    return above, others.size - np.searchsorted(ascending, score, side="left")


def run_starts(score_N: Column, group_N: IntArray) -> IntArray:
    """Where the score or the group changes in sorted rows; 0 is the first start."""
    changes = (score_N[1:] != score_N[:-1]) | (group_N[1:] != group_N[:-1])
    return np.flatnonzero(np.concatenate([np.ones(min(1, score_N.size), dtype=bool), changes]))


def _sums(value_N: FloatArray, start_M: IntArray) -> FloatArray:
    if start_M.size == value_N.size:
        return value_N
    sums: FloatArray = np.add.reduceat(value_N, start_M)
    return sums
