"""Two models on the same rows: who became better served, and is that more than chance?"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .columns import binary, indices
from .counts import FloatArray, IntArray, ratio
from .intervals import wilson
from .paired import holm

EXACT_BELOW = 25  # discordant rows, the usual limit below which approximations are distrusted


class PairedGroup(NamedTuple):
    """The second model against the first in one group of `n` rows; `difference` = second − first accuracy.

    `only_first` and `only_second` are the discordant rows, which one model alone got right. `p_value` is by `test`,
    `p_adjusted` by Holm over the groups. An empty group has p-value and accuracies NaN, and interval (−1, 1).
    """

    group: int
    n: int
    accuracy_first: float
    accuracy_second: float
    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_value: float
    p_adjusted: float
    test: Literal["exact", "mid-p"]


def paired_groups(
    correct_first_N: ArrayLike,
    correct_second_N: ArrayLike,
    group_N: ArrayLike,
    n_groups: int,
    confidence: float = 0.95,
) -> list[PairedGroup]:
    """Compare two models' predictions of the same rows, group by group.

    `correct_first_N`, `correct_second_N` [N] whether each model was right, `group_N` [N] in 0..n_groups−1. Test:
    McNemar (1947), see `mcnemar`; interval: Newcombe (1998), see `newcombe`. Rows are taken to be independent: for
    several rows a person, bootstrap the mean of `correct_second − correct_first` over persons instead.

    Raises:
        BadInput: columns of different lengths, not 0 or 1, groups out of range, confidence not in (0, 1).
    """
    size = np.size(correct_first_N)
    first_N, second_N = binary("correct_first", correct_first_N, size), binary("correct_second", correct_second_N, size)
    cell_N = 4 * indices("group", group_N, size, n_groups) + 2 * first_N + second_N
    neither_G, only_second_G, only_first_G, both_G = np.bincount(cell_N, minlength=4 * n_groups).reshape(-1, 4).T
    n_G = neither_G + only_second_G + only_first_G + both_G
    low_G, high_G = newcombe(both_G, only_first_G, only_second_G, neither_G, confidence)
    p_G = np.where(n_G > 0, mcnemar(only_first_G, only_second_G), np.nan)
    rates = (
        ratio(both_G + only_first_G, n_G),
        ratio(both_G + only_second_G, n_G),
        ratio(only_second_G - only_first_G, n_G),
    )
    columns = (n_G, *rates, low_G, high_G, only_first_G, only_second_G, p_G, holm(p_G))
    names = PairedGroup._fields[1:-1]
    return [
        PairedGroup(
            group=g, **dict(zip(names, row, strict=True)), test="exact" if sum(row[6:8]) < EXACT_BELOW else "mid-p"
        )
        for g, row in enumerate(zip(*(column.tolist() for column in columns), strict=True))
    ]


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> FloatArray:
    """Two-sided p-values of McNemar's test that both models are right equally often (McNemar 1947).

    Under that hypothesis the smaller of the two numbers of discordant rows is Binomial(b + c, ½). With fewer than
    25 discordant rows the test is exact, 2 P(X ≤ min(b, c)), and never too optimistic; from there on it is the mid-p
    test, 2 P(X < min) + P(X = min), which Fagerland, Lydersen, Laake (2013) recommend over chi-square: it keeps the
    level with hardly any of the exact test's loss of power. Without discordant rows 1. Imports SciPy.

    Raises:
        BadInput: not whole numbers ≥ 0.
    """
    from scipy.special import bdtr, betaln

    b, c = _counts(only_first, only_second)
    fewer, n = np.minimum(b, c), b + c
    at_most = bdtr(fewer.astype(np.float64), n, 0.5)
    equal = np.exp(-betaln(fewer + 1.0, n - fewer + 1.0) - np.log1p(n) - n * np.log(2))
    exact = n < EXACT_BELOW
    return np.asarray(np.minimum(1.0, np.where(exact, 2 * at_most, 2 * at_most - equal)))


def newcombe(
    both: ArrayLike, only_first: ArrayLike, only_second: ArrayLike, neither: ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Interval for second − first accuracy on the same rows, from the numbers of rows that each combination got right.

    Newcombe (1998), Improved confidence intervals for the difference between binomial proportions based on paired data,
    method 10: Wilson's intervals (l, u) of the two accuracies p, combined with their correlation φ,

        low  = d − √((p₂−l₂)² − 2φ(p₂−l₂)(u₁−p₁) + (u₁−p₁)²)
        high = d + √((u₂−p₂)² − 2φ(u₂−p₂)(p₁−l₁) + (p₁−l₁)²)

    Never leaves [−1, 1], and does not collapse where no row is discordant. No rows give (−1, 1).

    Raises:
        BadInput: not whole numbers ≥ 0 of one shape, confidence not in (0, 1).
    """
    a, b, c, d = _counts(both, only_first, only_second, neither)
    n = a + b + c + d
    p_first, p_second = np.nan_to_num(ratio(a + b, n)), np.nan_to_num(ratio(a + c, n))
    low_first, high_first = wilson(a + b, n, confidence)
    low_second, high_second = wilson(a + c, n, confidence)
    phi = _correlation(*(cell.astype(np.float64) for cell in (a, b, c, d)))
    down = _combine(p_second - low_second, high_first - p_first, phi)
    up = _combine(high_second - p_second, p_first - low_first, phi)
    difference = p_second - p_first
    return np.where(n > 0, difference - down, -1.0), np.where(n > 0, difference + up, 1.0)


def _correlation(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """φ of the four cells, shrunk by a continuity correction where positive; 0 where a margin is empty."""
    product = a * d - b * c
    product = np.where(product > 0, np.maximum(product - (a + b + c + d) / 2, 0), product)
    return np.nan_to_num(ratio(product, np.sqrt((a + b) * (c + d)) * np.sqrt((a + c) * (b + d))))


def _combine(one: FloatArray, other: FloatArray, phi: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.maximum(one**2 - 2 * phi * one * other + other**2, 0)))


def _counts(*cells: ArrayLike) -> tuple[IntArray, ...]:
    arrays = [np.asarray(cell) for cell in cells]
    if len({array.shape for array in arrays}) > 1 or any(array.dtype.kind not in "iu" for array in arrays):
        got = ", ".join(f"{array.dtype} {list(array.shape)}" for array in arrays)
        raise BadInput(f"numbers of rows must be whole numbers of one shape, got {got}")
    if any((array < 0).any() for array in arrays):
        raise BadInput(f"numbers of rows must be ≥ 0, got {min(array.min() for array in arrays if array.size)}")
    return tuple(array.astype(np.int64) for array in arrays)
