"""Intervals for accuracies: of one group, and of the worst of several."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .counts import FloatArray, IntArray, ratio

IntervalMethod = Literal["wilson", "clopper_pearson"]


class Interval(NamedTuple):
    """The estimate, its interval, and the group that it belongs to (None where every group is empty)."""

    value: float
    low: float
    high: float
    group: int | None


def wilson(correct: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Score interval of a proportion (Wilson 1927): the p with (correct/n − p)² ≤ z² p(1−p)/n.

    `correct`, `n` arrays of one shape, 0 ≤ correct ≤ n. Coverage is close to `confidence` on average over p. Never
    leaves [0, 1]; n = 0 gives (0, 1): nothing is known.

    Raises:
        BadInput: correct not in 0..n, or confidence not in (0, 1).
    """
    from statistics import NormalDist

    correct, n = _proportion(correct, n, confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    variance = np.nan_to_num(ratio(correct * (n - correct), n))
    centre = (correct + z**2 / 2) / (n + z**2)
    half = z * np.sqrt(variance + z**2 / 4) / (n + z**2)
    return np.where(correct == 0, 0.0, centre - half), np.where(correct == n, 1.0, centre + half)


def clopper_pearson(correct: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Exact interval of a proportion (Clopper, Pearson 1934): the p that neither one-sided binomial test rejects.

    `correct`, `n` arrays of one shape, 0 ≤ correct ≤ n. Coverage is at least `confidence` for every p and n, so it is
    wider than Wilson's. n = 0 gives (0, 1). Imports SciPy.

    Raises:
        BadInput: correct not in 0..n, or confidence not in (0, 1).
    """
    from scipy.special import betainccinv, betaincinv

    correct, n = _proportion(correct, n, confidence)
    tail, wrong = (1 - confidence) / 2, n - correct
    # A Beta distribution needs positive parameters; where one is 0, the end of the interval is known.
    low = np.where(correct == 0, 0.0, betaincinv(np.maximum(correct, 1), wrong + 1, tail))
    high = np.where(wrong == 0, 1.0, betainccinv(correct + 1, np.maximum(wrong, 1), tail))
    return low, high


def worst_group(
    correct_G: ArrayLike, n_G: ArrayLike, confidence: float = 0.95, method: IntervalMethod = "wilson"
) -> Interval:
    """Interval for the true accuracy of the worst group, which accounts for taking a minimum over noisy groups.

    The smallest observed accuracy lies on average below the smallest true one, and its own interval with it. Let
    α = 1 − confidence, p_G the true accuracies, and low_g, high_g bounds that one group exceeds with probability t:

        low  = min_g low_g    t = α/2                  fails only if the bound of the truly worst group does
        high = min_g high_g   t = 1 − (1 − α/2)^(1/G)  holds if all G bounds do; groups are independent (Šidák 1967)

    So P(low ≤ min p_G ≤ high) ≥ confidence where each bound keeps its promise: for "clopper_pearson" always; for
    "wilson" as far as its normal approximation holds, which is too optimistic for groups of a few dozen rows with
    accuracy near 1. With one group this is that group's own interval.

    `correct_G`, `n_G` [G] per group. Empty groups are left out, as in `worst_group_accuracy`: the interval says
    nothing about them. `value` is the smallest observed accuracy, of the first such `group`. All empty: NaN in (0, 1),
    group None.

    Raises:
        BadInput: not one-dimensional, correct not in 0..n, confidence not in (0, 1), or unknown method.
    """
    correct_G, n_G = _proportion(correct_G, n_G, confidence)
    if correct_G.ndim != 1:
        raise BadInput(f"correct_G and n_G must be one-dimensional, got shape {list(correct_G.shape)}")
    groups = np.flatnonzero(n_G)
    if not groups.size:
        return Interval(math.nan, 0.0, 1.0, None)
    correct, n = correct_G[groups], n_G[groups]
    tail = -math.expm1(math.log1p(-(1 - confidence) / 2) / groups.size)
    low = interval(correct, n, confidence, method)[0].min()
    high = interval(correct, n, 1 - 2 * tail, method)[1].min()
    worst = int(np.argmin(correct / n))
    return Interval(float(correct[worst] / n[worst]), float(low), float(high), int(groups[worst]))


def interval(
    correct: ArrayLike, n: ArrayLike, confidence: float, method: IntervalMethod
) -> tuple[FloatArray, FloatArray]:
    """`wilson` or `clopper_pearson` by name."""
    if method == "wilson":
        return wilson(correct, n, confidence)
    if method == "clopper_pearson":
        return clopper_pearson(correct, n, confidence)
    raise BadInput(f"method must be wilson or clopper_pearson, got {method!r}")


def _proportion(correct: ArrayLike, n: ArrayLike, confidence: float) -> tuple[IntArray, IntArray]:
    if not 0 < confidence < 1:
        raise BadInput(f"confidence must be between 0 and 1, got {confidence}")
    correct, n = np.asarray(correct), np.asarray(n)
    if correct.dtype.kind not in "iu" or n.dtype.kind not in "iu":
        raise BadInput(f"correct and n must be whole numbers, got {correct.dtype} and {n.dtype}")
    if correct.shape != n.shape:
        raise BadInput(f"correct and n must have one shape, got {list(correct.shape)} and {list(n.shape)}")
    wrong = np.flatnonzero((correct < 0) | (correct > n))
    if wrong.size:
        raise BadInput(f"correct must be in 0..n, got {correct.flat[wrong[0]]} of {n.flat[wrong[0]]}")
    return correct.astype(np.int64), n.astype(np.int64)
