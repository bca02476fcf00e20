"""Figures with intervals at any confidence: of one proportion, and of what is made from several.

Every estimate has K cells along its last axis. A cell without rows has value NaN and the interval of everything that
is possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evenhand.metrics.counts import FloatArray, ratio
from evenhand.metrics.intervals import IntervalMethod, interval

Bounds = tuple[FloatArray, FloatArray]


class Measured(float):
    """A number with an interval: `.low` and `.high`, NaN where there is none."""

    low: float
    high: float

    def __new__(cls, value: float, low: float = float("nan"), high: float = float("nan")) -> Measured:
        made = super().__new__(cls, value)
        made.low, made.high = float(low), float(high)
        return made

    def __reduce__(self) -> tuple[type[Measured], tuple[float, float, float]]:
        return Measured, (float(self), self.low, self.high)


class Estimate(Protocol):
    """Values [..., K] and their intervals."""

    @property
    def value(self) -> FloatArray: ...

    def interval(self, confidence: float) -> Bounds: ...


@dataclass(frozen=True)
class Proportion:
    """`part / whole`, with Wilson's or the exact interval.

    Attributes:
        part, whole: [..., K] rows, or sums of weights.
        method: of the interval.
        effective: [..., K] rows that say as much as these do, where rows have weights or come in clusters (Kish 1965;
            Korn, Graubard 1998): (Σw)² / Σw² divided by the design effect. None: `whole`.
    """

    part: FloatArray
    whole: FloatArray
    method: IntervalMethod = "wilson"
    effective: FloatArray | None = None

    @property
    def value(self) -> FloatArray:
        return np.minimum(ratio(self.part, self.whole), 1.0)

    def interval(self, confidence: float) -> Bounds:
        if self.effective is None:
            return interval(self.part, self.whole, confidence, self.method)
        bounds = _wilson if self.method == "wilson" else _clopper_pearson
        return bounds(np.nan_to_num(self.value), self.effective, confidence)


@dataclass(frozen=True)
class Transformed:
    """A monotone function of an estimate: F1 of the Jaccard index, error of accuracy."""

    of: Estimate
    function: Callable[[FloatArray], FloatArray]

    @property
    def value(self) -> FloatArray:
        return self.function(self.of.value)

    def interval(self, confidence: float) -> Bounds:
        first, second = (self.function(bound) for bound in self.of.interval(confidence))
        return np.minimum(first, second), np.maximum(first, second)


@dataclass(frozen=True)
class Mean:
    """The unweighted mean over the first axis of what is defined there.

    `independent` parts: the squared distances of their bounds add up (Zou, Donner 2008); otherwise the mean of the
    bounds, which holds whatever the dependence, and is wider. `needs_all`: undefined where any part is.
    """

    of: Estimate
    independent: bool
    needs_all: bool = False

    @property
    def value(self) -> FloatArray:
        value = self.of.value
        defined = np.isfinite(value)
        if self.needs_all:
            return np.asarray(value.mean(axis=0))
        return ratio(np.where(defined, value, 0.0).sum(axis=0), defined.sum(axis=0))

    def interval(self, confidence: float) -> Bounds:
        low, high = self.of.interval(confidence)
        defined = np.isfinite(self.of.value)
        below, above = (np.where(defined, np.abs(self.of.value - bound), 0.0) for bound in (low, high))
        if self.independent:
            below, above = (np.sqrt((distance**2).sum(axis=0)) for distance in (below, above))
        else:
            below, above = below.sum(axis=0), above.sum(axis=0)
        n = defined.sum(axis=0)
        empty = n == 0
        return (
            np.where(empty, low.min(axis=0), self.value - below / np.maximum(n, 1)),
            np.where(empty, high.max(axis=0), self.value + above / np.maximum(n, 1)),
        )


@dataclass(frozen=True)
class Stack:
    """Several estimates of the same cells along a new first axis."""

    parts: Sequence[Estimate]

    @property
    def value(self) -> FloatArray:
        return np.stack([part.value for part in self.parts])

    def interval(self, confidence: float) -> Bounds:
        low, high = zip(*(part.interval(confidence) for part in self.parts), strict=True)
        return np.stack(low), np.stack(high)


@dataclass(frozen=True)
class Take:
    """The entry `index` of an estimate's first axis, such as one class; a slice takes several."""

    of: Estimate
    index: int | slice

    @property
    def value(self) -> FloatArray:
        taken: FloatArray = self.of.value[self.index]
        return taken

    def interval(self, confidence: float) -> Bounds:
        low, high = self.of.interval(confidence)
        return low[self.index], high[self.index]


@dataclass(frozen=True)
class Flat:
    """An estimate [C, 1] as [C]."""

    of: Estimate

    @property
    def value(self) -> FloatArray:
        return self.of.value[:, 0]

    def interval(self, confidence: float) -> Bounds:
        low, high = self.of.interval(confidence)
        return low[:, 0], high[:, 0]


def f1_of_jaccard(jaccard: FloatArray) -> FloatArray:
    """F1 = 2J / (1 + J): J is the share of true positives among rows that are positive or predicted so."""
    return np.asarray(2 * jaccard / (1 + jaccard))


def complement(share: FloatArray) -> FloatArray:
    """1 − share."""
    return np.asarray(1 - share)


def _wilson(p: FloatArray, n: FloatArray, confidence: float) -> Bounds:
    from statistics import NormalDist

    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    centre = (p * n + z2 / 2) / (n + z2)
    half = np.sqrt(z2) * np.sqrt(p * (1 - p) * n + z2 / 4) / (n + z2)
    low = np.where((p <= 0) | (n <= 0), 0.0, centre - half)
    return low, np.where((p >= 1) | (n <= 0), 1.0, centre + half)


def _clopper_pearson(p: FloatArray, n: FloatArray, confidence: float) -> Bounds:
    from scipy.special import betainccinv, betaincinv

    tail, part, rest = (1 - confidence) / 2, p * n, (1 - p) * n
    known_low, known_high = part <= 0, rest <= 0
    low = np.where(known_low, 0.0, betaincinv(np.where(known_low, 1, part), rest + 1, tail))
    high = np.where(known_high, 1.0, betainccinv(part + 1, np.where(known_high, 1, rest), tail))
    return low, high
