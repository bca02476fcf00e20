"""Comparisons of methods over seeds: what differs by more than the noise, and what does not."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenhand.errors import BadInput

from .counts import FloatArray

IntervalFamily = Literal["holm", "bonferroni"]


class Difference(NamedTuple):
    """A method minus the reference, over `n` seeds that both have; NaN where `n` is too small to say."""

    method: str
    mean: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    n: int


def mean_sd(values: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation (n − 1) of the defined values; the sd of one value is NaN, as is the mean of none."""
    defined = _defined(np.asarray(values, dtype=np.float64))
    if not defined.size:
        return math.nan, math.nan
    shifted = defined - defined[0]  # equal values have sd 0, not a rounding error
    return float(defined[0] + shifted.mean()), float(shifted.std(ddof=1)) if defined.size > 1 else math.nan


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's step-down correction (Holm 1979): adjusted p-values that control the chance of any false discovery.

    With p sorted: `adjusted_i = max over j ≤ i of min(1, (m − j + 1) p_j)`. Monotone in p and at most 1. NaN stays NaN
    and does not count as a test.

    Raises:
        BadInput: not one-dimensional, or not in [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or (p < 0).any() or (p > 1).any():
        raise BadInput(f"p-values must be a list of numbers in [0, 1], got {p.tolist()}")
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def paired_differences(
    values_by_method: Mapping[str, Sequence[float]],
    reference: str,
    confidence: float = 0.95,
    intervals: IntervalFamily = "holm",
) -> list[Difference]:
    """Every other method against `reference` by the paired t test over seeds, corrected for their number (Holm 1979).

    Values are paired by position (seed); a pair with a value that is not finite is left out. In the order of the
    mapping. With one pair there is no test: p-values and interval are NaN. Without any variation the interval is a
    point, and p is 1 at no difference, else 0. Imports SciPy.

    `intervals`: "holm" excludes 0 exactly where `p_adjusted` ≤ 1 − confidence: the i-th smallest p has level 1 −
    α/(m−i+1), all that are not rejected share the level at which the procedure stopped. The chance that any interval
    wrongly excludes 0 is at most α; that all of them cover the size of their difference, too, is guaranteed by
    "bonferroni" alone (level 1 − α/m), which is wider and can include 0 where Holm rejects.

    Raises:
        BadInput: unknown reference or family, methods with different numbers of seeds, confidence not in (0, 1).
    """
    values = _values(values_by_method, confidence)
    if reference not in values:
        raise BadInput(f"reference {reference!r} is not among the methods {', '.join(values)}")
    methods = [method for method in values if method != reference]
    differences = [_difference(values[method], values[reference]) for method in methods]
    p = np.array([_p_value(difference) for difference in differences])
    adjusted = holm(p)
    level = 1 - (1 - confidence) / _divisors(p, adjusted, 1 - confidence, intervals)
    return [
        Difference(method, mean_sd(d)[0], *_t_interval(d, float(level[i])), float(p[i]), float(adjusted[i]), d.size)
        for i, (method, d) in enumerate(zip(methods, differences, strict=True))
    ]


def winners(
    values_by_method: Mapping[str, Sequence[float]], higher_is_better: bool = True, confidence: float = 0.95
) -> set[str]:
    """The methods that cannot be told from the best: mark a winner only where the set has one member.

    The method with the best mean is compared with every other one (`paired_differences`); those that Holm's procedure
    does not reject stay in the set, and so do those that cannot be tested: with one seed all of them. A method without
    any defined value is never in the set. With fewer than two methods nothing can be won: empty.

    Raises:
        BadInput: methods with different numbers of seeds, confidence not in (0, 1).
    """
    values = {m: v for m, v in _values(values_by_method, confidence).items() if _defined(v).size}
    if len(values) < 2:
        return set()
    sign = 1 if higher_is_better else -1
    best = max(values, key=lambda method: sign * mean_sd(values[method])[0])
    others = paired_differences({m: v.tolist() for m, v in values.items()}, best, confidence)
    return {best} | {other.method for other in others if not other.p_adjusted <= 1 - confidence}


def _values(values_by_method: Mapping[str, Sequence[float]], confidence: float) -> dict[str, FloatArray]:
    if not 0 < confidence < 1:
        raise BadInput(f"confidence must be between 0 and 1, got {confidence}")
    values = {method: np.array(seeds, dtype=np.float64) for method, seeds in values_by_method.items()}
    if len({array.shape for array in values.values()}) > 1 or any(array.ndim != 1 for array in values.values()):
        sizes = ", ".join(f"{method} {list(array.shape)}" for method, array in values.items())
        raise BadInput(f"every method needs a value for every seed (NaN where there is none), got {sizes}")
    return {method: np.where(np.isfinite(array), array, np.nan) for method, array in values.items()}


def _defined(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _difference(values: FloatArray, reference: FloatArray) -> FloatArray:
    """Per seed; differences of rounding size are 0, or equal methods would differ significantly."""
    equal = np.isclose(values, reference, rtol=1e-12, atol=0)
    return _defined(np.where(equal, 0.0, values - reference))


def _p_value(difference: FloatArray) -> float:
    from scipy.special import stdtr

    mean, sd = mean_sd(difference)
    if math.isnan(sd):
        return math.nan
    if sd == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / (sd / math.sqrt(difference.size))
    return float(2 * stdtr(difference.size - 1, -abs(t)))


def _t_interval(difference: FloatArray, level: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    mean, sd = mean_sd(difference)
    if math.isnan(sd):
        return math.nan, math.nan
    half = float(stdtrit(difference.size - 1, 0.5 + level / 2)) * sd / math.sqrt(difference.size)
    return mean - half, mean + half


def _divisors(p: FloatArray, adjusted: FloatArray, alpha: float, intervals: IntervalFamily) -> NDArray[np.int64]:
    """How many tests share α with each one (1 where nothing is tested)."""
    if intervals not in ("holm", "bonferroni"):
        raise BadInput(f"intervals must be holm or bonferroni, got {intervals!r}")
    if intervals == "bonferroni":
        return np.full(p.shape, max(1, int(np.isfinite(p).sum())))
    kept = adjusted > alpha
    at_least_as_large = (p[:, None] <= p).sum(axis=1)
    divisors: NDArray[np.int64] = np.where(kept, kept.sum(), at_least_as_large).clip(min=1)
    return divisors
