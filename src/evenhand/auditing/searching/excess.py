"""Is the loss of some rows above that of others? Moments, a test, an interval, and control of false discoveries."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenhand.errors import BadInput
from evenhand.metrics.counts import FloatArray
from evenhand.metrics.intervals import wilson


class Moments(NamedTuple):
    """Number of rows, sum of their losses and of the squares: numbers, or arrays of one shape."""

    n: FloatArray
    total: FloatArray
    squares: FloatArray

    def without(self, part: "Moments") -> "Moments":
        """The moments of the other rows."""
        return Moments(*(np.asarray(whole - some) for whole, some in zip(self, part, strict=True)))

    @property
    def mean(self) -> FloatArray:
        """Mean loss; 0 without rows."""
        return np.asarray(self.total / np.maximum(self.n, 1))

    @property
    def variance(self) -> FloatArray:
        """Unbiased variance; 0 for fewer than two rows."""
        return np.asarray(np.maximum(self.squares - self.total * self.mean, 0) / np.maximum(self.n - 1, 1))


def moments(loss_N: FloatArray, mask_N: NDArray[np.bool_]) -> Moments:
    """The moments of the rows in the mask."""
    chosen = loss_N[mask_N]
    squares = np.einsum("n,n->", chosen, chosen)  # not by BLAS, which starts threads for this
    return Moments(*(np.asarray(value, dtype=np.float64) for value in (chosen.size, chosen.sum(), squares)))


def z_score(these: Moments, others: Moments) -> FloatArray:
    """How many standard errors the mean loss of these rows is above that of the others; 0 where one has no rows."""
    n = these.n + others.n
    both = Moments(n, these.total + others.total, these.squares + others.squares)
    rows = np.where((these.n > 0) & (others.n > 0), these.n * others.n / np.maximum(n, 1), 0)
    scale = np.sqrt(rows / np.where(both.variance > 0, both.variance, np.inf))
    return np.asarray((these.mean - others.mean) * scale)


def p_value(these: Moments, others: Moments, binary: bool) -> float:
    """One-sided: how likely these rows would lose so much more than the others if they were no different.

    Losses of 0 and 1: Fisher's exact test. Others: Welch's t-test, which errs on the safe side for losses with a long
    upper tail. 1 where there is nothing to compare. Imports SciPy.
    """
    if min(these.n, others.n) < (1 if binary else 2):
        return 1.0
    if binary:
        return _fisher(*(int(value) for value in (these.n, these.total, others.n, others.total)))
    from scipy.special import stdtr

    errors = np.array([these.variance / these.n, others.variance / others.n])
    if not errors.sum() > 0:
        return float(these.mean <= others.mean)
    t = (these.mean - others.mean) / np.sqrt(errors.sum())
    freedom = errors.sum() ** 2 / (errors**2 / (np.array([these.n, others.n]) - 1)).sum()
    return float(stdtr(freedom, -t))


def _fisher(n: int, wrong: int, n_others: int, wrong_others: int) -> float:
    """P(X ≥ wrong) for X hypergeometric: n rows drawn from all, of which wrong + wrong_others are wrong."""
    from scipy.special import gammaln

    N, K = n + n_others, wrong + wrong_others
    sd = np.sqrt(n * K / N * (N - K) / N * n_others / max(N - 1, 1))
    last = min(n, K, int(wrong + 40 * sd + 50))  # what lies beyond is below any rounding error
    x = np.arange(max(wrong, K - n_others, 0), last + 1)

    def log_choose(total: int, part: NDArray[np.int64] | int) -> FloatArray:
        return np.asarray(gammaln(total + 1) - gammaln(part + 1) - gammaln(total - np.asarray(part) + 1))

    log_pmf = log_choose(K, x) + log_choose(N - K, n - x) - log_choose(N, n)
    return float(min(1.0, np.exp(log_pmf).sum()))


def interval(these: Moments, binary: bool, confidence: float) -> tuple[float, float]:
    """For the mean loss: Wilson's for losses of 0 and 1, else Student's; without enough rows everything is possible."""
    if binary:
        low, high = wilson(np.array(int(these.total)), np.array(int(these.n)), confidence)
        return float(low), float(high)
    if these.n < 2:
        return -np.inf, np.inf
    from scipy.special import stdtrit

    half = float(stdtrit(these.n - 1, 0.5 + confidence / 2) * np.sqrt(these.variance / these.n))
    return float(these.mean) - half, float(these.mean) + half


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Adjusted p-values q (Benjamini, Hochberg 1995): of those with q ≤ level at most that share is false on average.

    With p sorted: `q_i = min over j ≥ i of min(1, m p_j / j)`. For independent or positively dependent tests.

    Raises:
        BadInput: not one-dimensional, or not in [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise BadInput(f"p-values must be a list of numbers in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.empty(p.shape)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted
