"""Statistics of one group as functions of row weights: sorted once, evaluated for many resamples at once.

A statistic holds columns of all N rows. `prepare(rows)` fixes an order of one group's rows and returns it with a
function `weight_RN -> value_R…`: row r of `weight_RN` [R, n] weighs the n rows, in that order, for one resample.
Undefined is NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from evenhand.errors import BadInput

from .calibration import bin_of, check_bins
from .columns import Column, binary, indices, probabilities, scores
from .counts import FloatArray, IntArray, ratio
from .ranking import best_first, ranks
from .scratch import dot, running_sums, take

Evaluate = Callable[[FloatArray], FloatArray]


class Statistic(Protocol):
    """What `bootstrap` can resample."""

    @property
    def size(self) -> int:
        """N, the rows of its columns."""
        ...

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        """The `rows` of one group in an order of the statistic's choice, and its value given their weights."""
        ...


@dataclass(frozen=True, eq=False)
class _Ranking:
    """A statistic of how scores rank: `score_N` [N] numbers, `y_N` [N] 0 or 1.

    Raises:
        BadInput: NaN scores, other labels, different lengths.
    """

    score_N: Column  # noqa: N815
    y_N: Column  # noqa: N815

    def __post_init__(self) -> None:
        object.__setattr__(self, "score_N", scores("score", self.score_N))
        object.__setattr__(self, "y_N", binary("y", self.y_N, self.score_N.size))

    @property
    def size(self) -> int:
        return self.score_N.size

    def by_label(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """The positive and the negative ones of `rows`, each with the best score first."""
        positive = self.y_N[rows]
        return best_first(self.score_N, rows[positive]), best_first(self.score_N, rows[~positive])


class AUC(_Ranking):
    """`auc`, with its arguments and errors."""

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        positives, negatives = self.by_label(rows)
        P = positives.size
        above, at_or_above = ranks(self.score_N[negatives], self.score_N[positives])
        ties = bool((above != at_or_above).any())

        def evaluate(weight_RN: FloatArray) -> FloatArray:
            positive, negative = weight_RN[:, :P], weight_RN[:, P:]
            sums = running_sums("positives", positive)
            won = dot(negative, take("ranked", sums, above))
            if ties:
                won = (won + dot(negative, take("ranked", sums, at_or_above))) / 2
            return ratio(won, sums[:, -1] * negative.sum(axis=1))

        return np.concatenate([positives, negatives]), evaluate


class AveragePrecision(_Ranking):
    """`average_precision`, with its arguments and errors."""

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        positives, negatives = self.by_label(rows)
        P = positives.size
        hits = ranks(self.score_N[positives], self.score_N[positives])[1]
        false_alarms = ranks(self.score_N[positives], self.score_N[negatives])[1]

        def evaluate(weight_RN: FloatArray) -> FloatArray:
            positive, negative = weight_RN[:, :P], weight_RN[:, P:]
            hit_sums, false_sums = running_sums("positives", positive), running_sums("negatives", negative)
            hit_RP = take("hits", hit_sums, hits)
            selected_RP = take("selected", false_sums, false_alarms)
            selected_RP += hit_RP
            # Where nothing is selected the positive itself has weight 0, and so does its precision.
            precision_RP = np.divide(hit_RP, selected_RP, out=hit_RP, where=selected_RP > 0)
            value_R = ratio(dot(positive, precision_RP), hit_sums[:, -1])
            return np.where(false_sums[:, -1] > 0, value_R, np.nan)

        return np.concatenate([positives, negatives]), evaluate


@dataclass(frozen=True, eq=False)
class Mean:
    """Weighted mean of `value_N` [N]: Brier score and log-loss of their rows, or the difference of two models.

    Raises:
        BadInput: not numbers, or NaN.
    """

    value_N: Column  # noqa: N815

    def __post_init__(self) -> None:
        object.__setattr__(self, "value_N", scores("value", self.value_N))

    @property
    def size(self) -> int:
        return self.value_N.size

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        value_N = self.value_N[rows].astype(np.float64)

        def evaluate(weight_RN: FloatArray) -> FloatArray:
            return ratio(dot(weight_RN, value_N), weight_RN.sum(axis=1))

        return rows, evaluate


@dataclass(frozen=True, eq=False)
class CalibrationGaps:
    """Share of the weight times (mean probability − mean outcome) of every bin [bins], for `calibration_interval`.

    `probability_N` [N] in [0, 1], `outcome_N` [N] 0 or 1, `bins` of equal width. The absolute values add up to the
    calibration error.

    Raises:
        BadInput: not probabilities, other outcomes, different lengths, bins < 1.
    """

    probability_N: Column  # noqa: N815
    outcome_N: Column  # noqa: N815
    bins: int = 15

    def __post_init__(self) -> None:
        object.__setattr__(self, "probability_N", probabilities("probability", self.probability_N))
        object.__setattr__(self, "outcome_N", binary("outcome", self.outcome_N, self.probability_N.size))
        check_bins(self.bins)

    @property
    def size(self) -> int:
        return self.probability_N.size

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        rows, start_K, present_K = _by_cell(rows, bin_of(self.probability_N[rows], self.bins))
        parts = [slice(*ends) for ends in pairwise([*start_K.tolist(), rows.size])]
        gap_N = self.probability_N[rows].astype(np.float64) - self.outcome_N[rows]

        def evaluate(weight_RN: FloatArray) -> FloatArray:
            gap_RB = np.zeros((len(weight_RN), self.bins))
            for k, part in zip(present_K, parts, strict=bool(rows.size)):
                gap_RB[:, k] = dot(weight_RN[:, part], gap_N[part])
            return ratio(gap_RB, weight_RN.sum(axis=1, keepdims=True))

        return rows, evaluate


@dataclass(frozen=True, eq=False)
class Tally:
    """Weight of every cell [K] = [n_cells]: `cell_N` [N] in 0..n_cells−1, such as y * C + prediction.

    For metrics of counts where rows are weighted or come in clusters; `bootstrap_counts` is faster where they do not.

    Raises:
        BadInput: cells out of range.
    """

    cell_N: IntArray  # noqa: N815
    n_cells: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell_N", indices("cell", self.cell_N, np.size(self.cell_N), self.n_cells))

    @property
    def size(self) -> int:
        return self.cell_N.size

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        rows, start_K, present_K = _by_cell(rows, self.cell_N[rows])

        def evaluate(weight_RN: FloatArray) -> FloatArray:
            weight_RK = np.zeros((len(weight_RN), self.n_cells))
            if present_K.size:
                weight_RK[:, present_K] = np.add.reduceat(weight_RN, start_K, axis=1)
            return weight_RK

        return rows, evaluate


@dataclass(frozen=True, eq=False)
class Together:
    """Several statistics of the same resamples, for a mean or a difference of them: their values one after another.

    A statistic with several values gives all of them; one value counts as one.

    Raises:
        BadInput: no statistics, or of different numbers of rows.
    """

    statistics: tuple[Statistic, ...]

    def __post_init__(self) -> None:
        sizes = {statistic.size for statistic in self.statistics}
        if len(sizes) != 1:
            raise BadInput(f"statistics together must have the same rows, got {sorted(sizes)} of them")

    @property
    def size(self) -> int:
        return self.statistics[0].size

    def prepare(self, rows: IntArray) -> tuple[IntArray, Evaluate]:
        sorter = np.argsort(rows)
        prepared = [statistic.prepare(rows) for statistic in self.statistics]
        parts = [(sorter[np.searchsorted(rows, order, sorter=sorter)], evaluate) for order, evaluate in prepared]

        def evaluate(weight_RN: FloatArray) -> FloatArray:
            values = [part(take("together", weight_RN, position)) for position, part in parts]
            return np.concatenate([value.reshape(len(weight_RN), -1) for value in values], axis=1)

        return rows, evaluate


def _by_cell(rows: IntArray, cell_N: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Rows sorted by cell, where each cell that occurs starts, and which one it is."""
    order = np.argsort(cell_N, kind="stable")
    present_K, start_K = np.unique(cell_N[order], return_index=True)
    return rows[order], start_K, present_K
