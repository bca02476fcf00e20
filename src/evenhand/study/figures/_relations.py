"""Whether two quantities of classes go together, and whether classes differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Relation = dict[str, Any]

LEAST = 4  # classes below which ranks say nothing
EXACT = 8  # classes up to which all orders are gone through
LEVEL = 0.05


def spearman(x: Sequence[float | None], y: Sequence[float | None]) -> Relation:
    """Spearman's rank correlation of two quantities of classes, with a 95 % interval and a two-sided p.

        rho = correlation of the ranks, equal values having the mean of their ranks
        low, high = tanh(atanh(rho) ± 1.96 * sqrt((1 + rho² / 2) / (n - 3))), Bonett and Wright (2000)

    p is by all orders of up to eight classes, above that by Student's t with n − 2 degrees of freedom. Classes without
    one of the two are left out. Of fewer than four classes, or where a quantity is the same for all, all is None; where
    |rho| is 1, the interval is that of the next smaller value that n ranks without ties can have.
    """
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
    nothing: Relation = {"rho": None, "low": None, "high": None, "p": None, "n": len(pairs)}
    if len(pairs) < LEAST:
        return nothing
    from scipy.stats import rankdata

    first, second = (rankdata([pair[k] for pair in pairs]) for k in (0, 1))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return nothing
    rho = float(np.clip(np.corrcoef(first, second)[0, 1], -1, 1))
    rho = math.copysign(1.0, rho) if abs(rho) > 1 - 1e-12 else rho
    low, high = _interval(rho, len(pairs))
    return {"rho": rho, "low": low, "high": high, "p": _p_value(rho, first, second), "n": len(pairs)}


def _interval(rho: float, n: int) -> tuple[float, float]:
    most = 1 - 12 / (n * (n**2 - 1))
    centre = math.atanh(max(-most, min(most, rho)))
    wide = 1.959964 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = math.tanh(centre - wide), math.tanh(centre + wide)
    return (-1.0 if rho == -1 else low), (1.0 if rho == 1 else high)


def _p_value(rho: float, first: Floats, second: Floats) -> float:
    n = len(first)
    if n <= EXACT:
        first, second = first - first.mean(), second - second.mean()
        scale = math.sqrt(float((first**2).sum() * (second**2).sum()))
        other_P = np.array(list(permutations(second))) @ first / scale
        return float((np.abs(other_P) >= abs(rho) - 1e-12).mean())
    if abs(rho) == 1:
        return 0.0
    from scipy.stats import t

    return float(2 * t.sf(abs(rho) * math.sqrt((n - 2) / (1 - rho**2)), n - 2))


def told(relation: Relation) -> str:
    """`ρ = −0.81 [−0.95, −0.36], p = 0.005, 10 classes`."""
    if relation["rho"] is None:
        few = relation["n"] < LEAST
        return f"{relation['n']} classes are too few for ranks" if few else "one of the two is the same for all classes"
    p = "p < 0.001" if relation["p"] < 0.001 else f"p = {relation['p']:.3f}"
    interval = f"[{relation['low']:.2f}, {relation['high']:.2f}]"
    return f"ρ = {relation['rho']:.2f} {interval}, {p}, {relation['n']} classes".replace("-", "−")


def verdict(relation: Relation, sign: int) -> str:
    """Whether the paper's relation (1 rising, -1 falling, 0 none) is found."""
    if relation["rho"] is None:
        return "cannot be judged"
    seen = 0 if relation["p"] > LEVEL else 1 if relation["rho"] > 0 else -1
    if sign == 0:
        return "holds as far as can be seen: no relation is found" if seen == 0 else "does not hold here"
    if seen == 0:
        return f"cannot be told from no relation by {relation['n']} classes"
    return "holds here" if seen == sign else "does not hold here: it is the other way round"


def unequal(accuracy_C: Sequence[float | None], count_C: Sequence[int]) -> float | None:
    """p of Pearson's χ² that the classes' accuracies differ by the rows drawn alone; None where it is undefined.

    Classes without an accuracy are left out.
    """
    from scipy.stats import chi2

    pairs = [(a, n) for a, n in zip(accuracy_C, count_C, strict=True) if a is not None and n > 0]
    accuracy, count = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs], dtype=float)
    overall = float(np.average(accuracy, weights=count)) if pairs else math.nan
    if len(pairs) < 2 or not 0 < overall < 1:
        return None
    statistic = float((count * (accuracy - overall) ** 2).sum() / (overall * (1 - overall)))
    return float(chi2.sf(statistic, len(pairs) - 1))


def difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean of the first minus mean of the second with Welch's 95 % interval; None with fewer than two of either."""
    if min(len(first), len(second)) < 2:
        return None
    from scipy.stats import t

    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    mean, error = float(a.mean() - b.mean()), math.sqrt(sum(parts))
    if error == 0:
        return mean, mean, mean
    freedom = error**4 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    wide = float(t.ppf(0.975, freedom)) * error
    return mean, mean - wide, mean + wide
