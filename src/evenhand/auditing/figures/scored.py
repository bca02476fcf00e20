"""Figures from scores: ranking, calibration, and how good the probabilities are, per group with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from evenhand.auditing.figures.estimates import Bounds, Estimate
from evenhand.metrics.bootstrap import bootstrap
from evenhand.metrics.calibration import brier, calibration_interval, log_loss
from evenhand.metrics.counts import FloatArray, IntArray, ratio
from evenhand.metrics.resampled import Resampled
from evenhand.metrics.weighted import AUC, AveragePrecision, CalibrationGaps, Mean, Statistic, Together

REPLICATES, REPLICATES_OF_MANY, MANY_ROWS = 200, 50, 200_000
ENOUGH = 2.5  # resamples beyond an end of an interval, from which on percentiles are used


@dataclass(frozen=True)
class Resampling:
    """How figures from scores are made.

    Attributes:
        positive: index of the class that they are about; None: all classes.
        replicates: of the bootstrap; None: as many as the rows allow in reasonable time.
        seed: of the bootstrap.
    """

    positive: int | None
    replicates: int | None
    seed: int

    def replicates_for(self, rows: int) -> int:
        """How often N rows are resampled."""
        if self.replicates is not None:
            return self.replicates
        return REPLICATES if rows <= MANY_ROWS else REPLICATES_OF_MANY


@dataclass(frozen=True)
class Scores:
    """What the classifier said of N rows.

    Attributes:
        score: (N, C) one column per class, or (N, 1) of the positive class.
        are_probabilities: whether they lie in [0, 1] and mean probabilities; else they only rank.
        how: about which class, and with which resamples.
    """

    score: FloatArray
    are_probabilities: bool
    how: Resampling

    @property
    def positive(self) -> int | None:
        """The class that the figures are about."""
        return self.how.positive


@dataclass(frozen=True)
class FromResamples:
    """Values [K] with bootstrap intervals: percentiles where enough resamples lie beyond the ends, else normal."""

    of: Resampled
    highest: float = 1.0

    @property
    def value(self) -> FloatArray:
        return self.of.value

    def interval(self, confidence: float) -> Bounds:
        tail = (1 - confidence) / 2
        low, high = self.of.interval(confidence)
        if tail * len(self.of.replicates) < ENOUGH:
            known = np.isfinite(low)
            sd = np.nanstd(np.where(known, self.of.replicates, 0.0), axis=0, ddof=1)
            half = np.where(known, NormalDist().inv_cdf(1 - tail) * sd, np.nan)
            low, high = self.value - half, self.value + half
        empty = ~np.isfinite(self.value)
        return np.where(empty, 0.0, np.maximum(low, 0)), np.where(empty, self.highest, np.minimum(high, self.highest))


@dataclass(frozen=True)
class CalibrationErrors:
    """Expected calibration errors [K] from the resampled gaps of their bins, see `calibration_interval`."""

    gaps: Resampled

    @property
    def value(self) -> FloatArray:
        return np.asarray(np.abs(self.gaps.value).sum(axis=-1))

    def interval(self, confidence: float) -> Bounds:
        low, high = calibration_interval(self.gaps, confidence)
        empty = ~np.isfinite(self.value)
        return np.where(empty, 0.0, low), np.where(empty, 1.0, np.minimum(high, 1))


def score_figures(
    scores: Scores,
    y_N: IntArray,
    group_N: IntArray,
    n_groups: int,
    *,
    weight_N: FloatArray | None = None,
    cluster_N: IntArray | None = None,
) -> dict[str, Estimate]:
    """AUC and average precision [K], and of probabilities calibration error, Brier score and log-loss.

    About one class if there is a positive one; otherwise AUC and average precision are means over classes against the
    rest, calibration is that of the highest probability, Brier score and log-loss are over all classes.
    """

    def resampled(statistic: Statistic) -> Resampled:
        return bootstrap(
            statistic, group_N, n_groups, weight_N=weight_N, cluster_N=cluster_N,
            replicates=scores.how.replicates_for(len(y_N)), seed=scores.how.seed,
        )  # fmt: skip

    found: dict[str, Estimate] = {}
    for name, ranks in (("auc", AUC), ("average_precision", AveragePrecision)):
        first, *others = (ranks(score_N, y_N == c) for c, score_N in _one_against_rest(scores))
        # Means over classes need all of them under the same resamples.
        means = resampled(Together((first, *others))).reduce(_mean_of_defined) if others else resampled(first)
        found[name] = FromResamples(means)
    if not scores.are_probabilities:
        return found
    if scores.positive is not None:
        p = _of_positive(scores)
        top_N, right_N, truth_N = p, y_N == scores.positive, (y_N == scores.positive).astype(np.int64)
    else:
        p, truth_N = scores.score, y_N
        top_N, right_N = p.max(axis=1), p.argmax(axis=1) == y_N
    found["calibration_error"] = CalibrationErrors(resampled(CalibrationGaps(top_N, right_N)))
    found["brier"] = FromResamples(resampled(Mean(brier(p, truth_N))), 1.0 if p.ndim == 1 else 2.0)
    found["log_loss"] = FromResamples(resampled(Mean(log_loss(p, truth_N))), np.inf)
    return found


def _one_against_rest(scores: Scores) -> list[tuple[int, FloatArray]]:
    if scores.positive is not None:
        return [(scores.positive, _of_positive(scores))]
    return list(enumerate(np.ascontiguousarray(scores.score.T)))


def _of_positive(scores: Scores) -> FloatArray:
    column = 0 if scores.score.shape[1] == 1 else scores.positive
    return np.ascontiguousarray(scores.score[:, column or 0])


def _mean_of_defined(value_RKC: FloatArray) -> FloatArray:
    """The mean over the classes that are defined: a class that a resample lacks is left out of that resample."""
    defined_RKC = np.isfinite(value_RKC)
    return ratio(np.where(defined_RKC, value_RKC, 0).sum(axis=-1), defined_RKC.sum(axis=-1))
