"""What resampling found, and the intervals that follow from it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evenhand.errors import BadInput

from .counts import FloatArray
from .intervals import Interval

BootstrapMethod = Literal["percentile", "basic", "bias_corrected"]


@dataclass(frozen=True, eq=False)
class Resampled:
    """Values [...] and their replicates [R, ...]; NaN where undefined, in a replicate too.

    A resample in which a metric is undefined (no positives drawn) is left out of its interval.
    """

    value: FloatArray
    replicates: FloatArray

    def interval(
        self, confidence: float = 0.95, method: BootstrapMethod = "percentile"
    ) -> tuple[FloatArray, FloatArray]:
        """(low, high) of every value.

        "percentile": the middle `confidence` of the replicates (Efron 1979). "bias_corrected": moved by how far the
        value is from their median (Efron 1981). "basic": the percentiles mirrored at the value (Davison, Hinkley 1997),
        which can leave the range of the metric. A calibration error needs `calibration_interval` instead.
        All are too narrow for a few dozen rows. NaN where there is nothing to go by: no defined replicate, or all of
        them equal, as for an AUC of exactly 1: data without variation do not show how much there is.

        Raises:
            BadInput: confidence not in (0, 1), or unknown method.
        """
        tail = _tail(confidence)
        if method == "percentile":
            low, high = self._quantile(tail), self._quantile(1 - tail)
        elif method == "basic":
            low, high = 2 * self.value - self._quantile(1 - tail), 2 * self.value - self._quantile(tail)
        elif method == "bias_corrected":
            low, high = self._quantile(self._corrected(tail)), self._quantile(self._corrected(1 - tail))
        else:
            raise BadInput(f"method must be percentile, basic or bias_corrected, got {method!r}")
        known = high - low > 1e-12 * np.abs(self.value)  # rounding is not variation
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    def reduce(self, function: Callable[[FloatArray], FloatArray]) -> "Resampled":
        """A function of the values, such as `lambda auc: auc.max(-1) - auc.min(-1)`, from the same resamples.

        `function` maps [R, ...] to [R, ...]; what it does with NaN is its own affair.
        """
        return Resampled(np.asarray(function(self.value[None]))[0], np.asarray(function(self.replicates)))

    def worst(self, confidence: float = 0.95, higher_is_better: bool = True) -> Interval:
        """The worst of the values [G], with an interval for the truly worst that accounts for the choice.

        As `worst_group` does for accuracies, with percentiles in the place of Wilson's bounds: each end of the interval
        is the worst of the groups' bounds; the end towards better values is taken so far out that the bounds of all G
        groups hold together. That needs about 80 G replicates to be told from the largest. Groups that are undefined
        or without variation are left out; with none left NaN, group None.

        Raises:
            BadInput: the values are not one-dimensional, or confidence not in (0, 1).
        """
        if self.value.ndim != 1:
            raise BadInput(f"worst needs one value for each group, got shape {list(self.value.shape)}")
        sign = 1 if higher_is_better else -1
        signed = Resampled(sign * self.value, sign * self.replicates)
        low_G, _ = signed.interval(confidence)
        groups = np.flatnonzero(np.isfinite(low_G))
        if not groups.size:
            return Interval(math.nan, math.nan, math.nan, None)
        tail = -math.expm1(math.log1p(-_tail(confidence)) / groups.size)
        _, high_G = signed.interval(1 - 2 * tail)
        worst = int(groups[np.argmin(signed.value[groups])])
        low, high = sorted((sign * float(low_G[groups].min()), sign * float(high_G[groups].min())))
        return Interval(float(self.value[worst]), low, high, worst)

    def _quantile(self, p: float | FloatArray) -> FloatArray:
        """Linear between order statistics, over the defined replicates."""
        ordered = np.sort(self.replicates, axis=0)  # NaN come last
        defined = np.isfinite(ordered).sum(axis=0)
        position = np.broadcast_to(p, defined.shape) * np.maximum(defined - 1, 0)
        below = np.floor(position).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(defined - 1, 0))
        low, high = (np.take_along_axis(ordered, index[None], axis=0)[0] for index in (below, above))
        return np.where(defined > 0, low + (high - low) * (position - below), np.nan)

    def _corrected(self, p: float) -> FloatArray:
        """Where the quantile p of the replicates belongs after the correction for bias."""
        from scipy.special import ndtr, ndtri

        R = np.maximum(np.isfinite(self.replicates).sum(axis=0), 1)
        below = (self.replicates < self.value).sum(axis=0) + (self.replicates == self.value).sum(axis=0) / 2
        shift = ndtri(np.clip(below / R, 1 / (2 * R), 1 - 1 / (2 * R)))
        return np.asarray(ndtr(2 * shift + ndtri(p)))


def _tail(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise BadInput(f"confidence must be between 0 and 1, got {confidence}")
    return (1 - confidence) / 2
