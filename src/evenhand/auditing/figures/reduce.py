"""Worst, best, gap, ratio and mean over groups, with intervals that account for choosing among them.

α = 1 − confidence, G compared groups. For a minimum: low = min of the bounds that each group's own interval has, high =
min of bounds that all hold at once (Šidák), as in `evenhand.metrics.worst_group`. For gap and ratio both ends come from
intervals that all hold at once. Groups where the figure is undefined are left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from evenhand.auditing.figures.estimates import Estimate, Mean, Measured, Stack
from evenhand.metrics.counts import FloatArray


class Extreme(NamedTuple):
    """The extreme value with its interval, and the index of the first group that has it (None: none is defined)."""

    measured: Measured
    group: int | None


def extreme(estimate: Estimate, lowest: bool, confidence: float) -> Extreme:
    """The smallest or largest value over groups; the interval is for the true extreme, whichever group has it."""
    value = estimate.value
    defined = np.flatnonzero(np.isfinite(value))
    if not defined.size:
        return Extreme(Measured(math.nan), None)
    tail = -math.expm1(math.log1p(-(1 - confidence) / 2) / defined.size)
    low_own, high_own = (bound[defined] for bound in estimate.interval(confidence))
    low_all, high_all = (bound[defined] for bound in estimate.interval(1 - 2 * tail))
    if lowest:
        group = int(defined[np.argmin(value[defined])])
        return Extreme(Measured(value[group], low_own.min(), high_all.min()), group)
    group = int(defined[np.argmax(value[defined])])
    return Extreme(Measured(value[group], low_all.max(), high_own.max()), group)


def gap(estimate: Estimate, confidence: float) -> Measured:
    """Largest minus smallest value; NaN with fewer than two defined groups."""
    return _widest(*_gaps(estimate, confidence))


def gap_of_class(estimate: Estimate, confidence: float, chosen: int | None) -> Measured:
    """The gap of the class `chosen` of an estimate [C, K]; of the class with the largest gap if None."""
    value, low, high = _gaps(estimate, confidence)
    if chosen is not None:
        return Measured(value[chosen], low[chosen], high[chosen])
    return _widest(value, low, high)


def ratio_of_extremes(estimate: Estimate, confidence: float) -> Measured:
    """Smallest divided by largest value, in [0, 1]; NaN with fewer than two defined groups or where all are 0."""
    value = estimate.value
    defined = np.isfinite(value)
    if defined.sum() < 2 or not value[defined].max() > 0:
        return Measured(math.nan)
    low, high = (bound[defined] for bound in estimate.interval(_each(confidence, int(defined.sum()))))
    most = min(1.0, high.min() / low.max()) if low.max() > 0 else 1.0
    least = low.min() / high.max() if math.isfinite(high.max()) else 0.0
    return Measured(value[defined].min() / value[defined].max(), least, most)


def mean(estimate: Estimate, confidence: float) -> Measured:
    """Every defined group counts the same."""
    over = Mean(estimate, independent=True)
    if not np.isfinite(over.value):
        return Measured(math.nan)
    low, high = over.interval(confidence)
    return Measured(float(over.value), float(low), float(high))


def half_sum(first: Measured, second: Measured) -> Measured:
    """½(first + second); each must have been made with half the α."""
    return Measured((first + second) / 2, (first.low + second.low) / 2, (first.high + second.high) / 2)


def average(first: Estimate, second: Estimate) -> Mean:
    """½(first + second) for estimates from different rows, cell by cell; NaN where either is."""
    return Mean(Stack((first, second)), independent=True, needs_all=True)


def _gaps(estimate: Estimate, confidence: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Value and bounds of the gap along the last axis; all intervals of all classes hold at once."""
    value = estimate.value
    defined = np.isfinite(value)
    low, high = estimate.interval(_each(confidence, max(1, int(defined.sum()))))
    largest = np.max(np.where(defined, value, -np.inf), axis=-1)
    smallest = np.min(np.where(defined, value, np.inf), axis=-1)
    enough = defined.sum(axis=-1) >= 2
    least = np.max(np.where(defined, low, -np.inf), axis=-1) - np.min(np.where(defined, high, np.inf), axis=-1)
    most = np.max(np.where(defined, high, -np.inf), axis=-1) - np.min(np.where(defined, low, np.inf), axis=-1)
    with np.errstate(invalid="ignore"):
        found = np.where(enough, largest - smallest, np.nan)
    return found, np.where(enough, np.maximum(least, 0), np.nan), np.where(enough, most, np.nan)


def _widest(value: FloatArray, low: FloatArray, high: FloatArray) -> Measured:
    if not np.isfinite(value).any():
        return Measured(math.nan)
    return Measured(*(float(np.fmax.reduce(part, axis=None)) for part in (value, low, high)))


def _each(confidence: float, tests: int) -> float:
    """The confidence of each of `tests` independent intervals that all hold with `confidence`."""
    return math.exp(math.log(confidence) / tests)
