"""What a group's size lets one see: the smallest gap to everyone else that a test would usually find."""

import math

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .counts import FloatArray


def detectable_gap(
    n: ArrayLike, n_rest: ArrayLike, accuracy_rest: ArrayLike, level: float = 0.05, power: float = 0.8
) -> FloatArray:
    """The gap below everyone else's accuracy that a group of `n` rows shows with probability `power`.

    Fleiss, Levin, Paik (2003), Statistical Methods for Rates and Proportions, section 4.2. The test is the two-sided
    test of two proportions (pooled, without continuity correction) at `level`. With p₀ = `accuracy_rest`,
    p₁ = p₀ − gap and p̄ the accuracy of both together it is the smallest gap with

        gap ≥ z_{1−level/2} √(p̄(1−p̄)(1/n + 1/n_rest)) + z_{power} √(p₁(1−p₁)/n + p₀(1−p₀)/n_rest)

    `n`, `n_rest` ≥ 0 and `accuracy_rest` in [0, 1] broadcast; `n_rest` may be infinite. In [0, 1], as accuracies; NaN
    where even accuracy 0 would not be seen (few rows, or a rest that is hardly ever right). A normal approximation: for
    fewer than about 20 rows it is a rough guide. Smaller gaps may exist; they would often be missed.

    Raises:
        BadInput: arguments out of range.
    """
    z = _quantiles(level, power)
    n, n_rest, p_rest = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (n, n_rest, accuracy_rest)))
    _check_range("n and n_rest", np.minimum(n, n_rest), 0, math.inf)
    _check_range("accuracy_rest", p_rest, 0, 1)
    low, high = np.zeros(p_rest.shape), p_rest.copy()
    visible = (n > 0) & (n_rest > 0) & (p_rest > 0)
    n, n_rest = np.where(visible, n, 1.0), np.where(visible, n_rest, 1.0)
    visible &= _needed(p_rest, p_rest, n, n_rest, z) <= p_rest
    # gap − _needed(gap) is convex and negative at 0, so it has one root: bisection finds it to the last bit.
    for _ in range(60):
        middle = (low + high) / 2
        seen = _needed(middle, p_rest, n, n_rest, z) <= middle
        low, high = np.where(seen, low, middle), np.where(seen, middle, high)
    return np.where(visible, high, np.nan)


def rows_needed(
    gap: float, accuracy_rest: float, n_rest: float = math.inf, level: float = 0.05, power: float = 0.8
) -> int | None:
    """The smallest group in which `detectable_gap` is at most `gap`; None where no size would do (`n_rest` too small).

    `gap` in (0, accuracy_rest], `n_rest` rows of everyone else (infinite: so many that only the group matters).

    Raises:
        BadInput: arguments out of range.
    """
    z = _quantiles(level, power)
    _check_range("accuracy_rest", np.array(accuracy_rest), 0, 1)
    if not 0 < gap <= accuracy_rest:
        raise BadInput(f"gap must be above 0 and at most accuracy_rest = {accuracy_rest}, got {gap}")
    if not n_rest > 0:
        raise BadInput(f"n_rest must be above 0, got {n_rest}")

    def seen(n: float) -> bool:
        return bool(_needed(gap, accuracy_rest, n, n_rest, z) <= gap)

    if not seen(2.0**60):
        return None
    low, high = 0, 1
    while not seen(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def size_warning(n: int, gap: float) -> str:
    """The `detectable_gap` of a group in plain words: "with 40 rows, only gaps above 19 points can be seen"."""
    rows = f"with {n} row{'' if n == 1 else 's'}"
    if math.isnan(gap):
        return f"{rows}, no gap can be seen"
    points = 100 * gap
    number = f"{points:.0f}" if points >= 10 else f"{points:.2g}"
    return f"{rows}, only gaps above {number} point{'' if number == '1' else 's'} can be seen"


def _needed(gap: ArrayLike, p_rest: ArrayLike, n: ArrayLike, n_rest: ArrayLike, z: tuple[float, float]) -> FloatArray:
    gap, p_rest, n, n_rest = (np.asarray(value, dtype=np.float64) for value in (gap, p_rest, n, n_rest))
    share = 1 / (1 + n / n_rest)  # of everyone else among all rows, which weighs p̄
    p = p_rest - gap
    pooled = p_rest * share + p * (1 - share)
    under_equality = pooled * (1 - pooled) * (1 / n + 1 / n_rest)
    under_gap = p * (1 - p) / n + p_rest * (1 - p_rest) / n_rest
    return np.asarray(z[0] * np.sqrt(np.maximum(under_equality, 0)) + z[1] * np.sqrt(np.maximum(under_gap, 0)))


def _quantiles(level: float, power: float) -> tuple[float, float]:
    from statistics import NormalDist

    if not (0 < level < 1 and level / 2 < power < 1):
        raise BadInput(f"level must be in (0, 1) and power in (level / 2, 1), got {level} and {power}")
    return NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(power)


def _check_range(name: str, values: FloatArray, smallest: float, largest: float) -> None:
    outside = ~((values >= smallest) & (values <= largest))
    if outside.any():
        raise BadInput(f"{name} must be in {smallest}..{largest}, got {values[outside].flat[0]}")
