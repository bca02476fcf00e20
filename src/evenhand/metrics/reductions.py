"""Reductions of rates over their last axis. Undefined cells (NaN) are left out; with none defined the result is NaN."""

from collections.abc import Callable

import numpy as np

from .counts import FloatArray, ratio
from .rates import Rates

Reduction = Callable[[Rates], FloatArray]


def minimum(rates: Rates) -> FloatArray:
    """The worst cell."""
    return np.asarray(np.fmin.reduce(rates.value, axis=-1))


def maximum(rates: Rates) -> FloatArray:
    """The best cell."""
    return np.asarray(np.fmax.reduce(rates.value, axis=-1))


def spread(rates: Rates) -> FloatArray:
    """Best minus worst; NaN with fewer than two defined cells: nothing to compare is not "no difference"."""
    defined = np.isfinite(rates.value).sum(axis=-1)
    return np.where(defined >= 2, maximum(rates) - minimum(rates), np.nan)


def mean(rates: Rates) -> FloatArray:
    """Every defined cell counts the same."""
    return _average(rates.value, np.ones_like(rates.value))


def weighted_mean(rates: Rates) -> FloatArray:
    """Every cell counts by its rows."""
    return _average(rates.value, rates.rows.astype(np.float64))


def _average(value: FloatArray, weight: FloatArray) -> FloatArray:
    weight = np.where(np.isfinite(value), weight, 0.0)
    return ratio(np.asarray((np.nan_to_num(value) * weight).sum(axis=-1)), np.asarray(weight.sum(axis=-1)))
