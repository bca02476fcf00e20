"""Whether probabilities mean what they say: calibration error, Brier score and log-loss per group.

The three are for binary probabilities of the positive class. With more classes Brier score and log-loss take [N, C]
probabilities, and calibration looks at the top label: `p_NC.max(axis=1)` with outcome `p_NC.argmax(axis=1) == y_N`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .columns import Column, binary, indices, mean_per_group, probabilities, weights
from .counts import FloatArray, IntArray, ratio
from .ranking import by_group_then_score, run_starts
from .resampled import Resampled


class Reliability(NamedTuple):
    """A reliability diagram per group: mean probability, share of positives and weight of every bin [G, bins].

    Without rows a bin has weight 0 and NaN in the other two.
    """

    probability: FloatArray
    outcome: FloatArray
    weight: FloatArray

    @property
    def error_G(self) -> FloatArray:
        """Expected calibration error: |probability − outcome|, averaged with the weight of the bins; NaN if empty."""
        gap = np.nan_to_num(np.abs(self.probability - self.outcome))
        return ratio((gap * self.weight).sum(axis=1), self.weight.sum(axis=1))


def reliability_per_group(
    probability_N: ArrayLike,
    outcome_N: ArrayLike,
    group_N: ArrayLike,
    n_groups: int,
    *,
    weight_N: ArrayLike | None = None,
    bins: int = 15,
    adaptive: bool = False,
) -> Reliability:
    """Compare probabilities with outcomes in bins, within each group.

    `probability_N` [N] in [0, 1], `outcome_N` [N] 0 or 1, `group_N` [N] in 0..n_groups−1, `weight_N` [N] ≥ 0. `bins` of
    equal width, closed on the right as in Guo et al. (2017) and scikit-learn; `adaptive`: of equal weight within each
    group (Nguyen, O'Connor 2015), where equal probabilities stay together.

    Raises:
        BadInput: probabilities outside [0, 1] or NaN, other outcomes, groups out of range, bad weights, bins < 1.
    """
    probability_N = probabilities("probability", probability_N).astype(np.float64)
    size = probability_N.size
    outcome_N, group_N = binary("outcome", outcome_N, size), indices("group", group_N, size, n_groups)
    weight_N = weights(weight_N, size)
    weight_N = np.ones(size) if weight_N is None else weight_N
    bin_N = bin_of(probability_N, bins) if not adaptive else _adaptive_bin(probability_N, group_N, weight_N, bins)
    cell_N = group_N * bins + bin_N
    weight, probability, outcome = (
        np.bincount(cell_N, value_N, n_groups * bins).reshape(n_groups, bins).astype(np.float64)
        for value_N in (weight_N, weight_N * probability_N, weight_N * outcome_N)
    )
    return Reliability(ratio(probability, weight), ratio(outcome, weight), weight)


def calibration_error_per_group(
    probability_N: ArrayLike,
    outcome_N: ArrayLike,
    group_N: ArrayLike,
    n_groups: int,
    *,
    weight_N: ArrayLike | None = None,
    bins: int = 15,
    adaptive: bool = False,
) -> FloatArray:
    """Expected calibration error of each group [G], in [0, 1]; 0 is calibrated, an empty group NaN.

    Naeini, Cooper, Hauskrecht (2015). Arguments and errors as for `reliability_per_group`. Noise alone makes it
    positive, by up to 0.4 √(bins / rows): small groups look worse calibrated than they are.
    """
    return reliability_per_group(
        probability_N, outcome_N, group_N, n_groups, weight_N=weight_N, bins=bins, adaptive=adaptive
    ).error_G


def calibration_interval(gaps: Resampled, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Interval for the expected calibration error of each group [G], from bootstrapped `CalibrationGaps` [G, bins].

    A sum of absolute values has no simple bootstrap: noise adds to each of them that is near 0, more so in resamples,
    and percentiles lie far above the truth of a calibrated model. Fang, Santos (2019), Inference on Directionally
    Differentiable Functions: resample the derivative instead. With gaps s, errors e = s* − s of a resample and Z the
    bins whose gap is below 3 standard errors, so that its sign is not known,

        low  = Σ|s| − upper quantile of (Σ_Z |e| + Σ_{not Z} sign(s) e)      at least 0
        high = Σ|s| − lower quantile of Σ sign(s) e

    so that the interval of a calibrated model starts at 0. NaN for an empty group.

    Raises:
        BadInput: confidence not in (0, 1).
    """
    error = gaps.replicates - gaps.value
    signed = np.sign(gaps.value) * error
    unknown = np.abs(gaps.value) < 3 * error.std(axis=0)
    total_G = np.abs(gaps.value).sum(axis=-1)
    either_way = Resampled(total_G, np.where(unknown, np.abs(error), signed).sum(axis=-1))
    low_G = total_G - either_way.interval(confidence)[1]
    high_G = total_G - Resampled(total_G, signed.sum(axis=-1)).interval(confidence)[0]
    return np.maximum(low_G, 0), np.maximum(high_G, 0)


def brier_per_group(
    probability: ArrayLike, y_N: ArrayLike, group_N: ArrayLike, n_groups: int, weight_N: ArrayLike | None = None
) -> FloatArray:
    """Mean squared error of probabilities (Brier 1950) per group [G]; 0 is perfect, an empty group NaN.

    Arguments as for `brier`; `group_N` [N] in 0..n_groups−1, `weight_N` [N] ≥ 0.

    Raises:
        BadInput: as `brier`; groups out of range, bad weights.
    """
    return _mean(brier(probability, y_N), group_N, n_groups, weight_N)


def log_loss_per_group(
    probability: ArrayLike, y_N: ArrayLike, group_N: ArrayLike, n_groups: int, weight_N: ArrayLike | None = None
) -> FloatArray:
    """Mean of −log(probability of the true class) per group [G], in nats; 0 is perfect, an empty group NaN.

    Arguments as for `log_loss`; `group_N` [N] in 0..n_groups−1, `weight_N` [N] ≥ 0.

    Raises:
        BadInput: as `log_loss`; groups out of range, bad weights.
    """
    return _mean(log_loss(probability, y_N), group_N, n_groups, weight_N)


def brier(probability: ArrayLike, y_N: ArrayLike) -> FloatArray:
    """Squared error of every row [N].

    `probability` [N] of the positive class with `y_N` 0 or 1: (p − y)², in [0, 1]. Or [N, C] with class indices:
    Σ_c (p_c − [y = c])², in [0, 2]; with two classes that is twice the binary score, as in scikit-learn.

    Raises:
        BadInput: not probabilities, or other labels.
    """
    p, y = _probabilities_and_labels(probability, y_N)
    if p.ndim == 1:
        return np.asarray((p - y) ** 2)
    true_N = p[np.arange(len(p)), y]
    return np.asarray((p**2).sum(axis=1) - true_N**2 + (1 - true_N) ** 2)


def log_loss(probability: ArrayLike, y_N: ArrayLike) -> FloatArray:
    """−log(probability of the true class) of every row [N], arguments and errors as for `brier`.

    Probabilities are kept away from 0 by the rounding error of their type, as in scikit-learn: at most 36 for float64.
    """
    p, y = _probabilities_and_labels(probability, y_N)
    given = np.asarray(probability).dtype
    smallest = np.finfo(given if given.kind == "f" else np.float64).eps
    true_N = np.where(y == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(p)), y]
    return np.asarray(-np.log(np.clip(true_N, smallest, 1 - smallest)))


def bin_of(probability_N: FloatArray, bins: int) -> IntArray:
    """The bin of each probability among `bins` of equal width, closed on the right; 0 is in the first."""
    check_bins(bins)
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability_N)


def check_bins(bins: int) -> None:
    """Raises BadInput below 1."""
    if bins < 1:
        raise BadInput(f"bins must be at least 1, got {bins}")


def _adaptive_bin(probability_N: FloatArray, group_N: IntArray, weight_N: FloatArray, bins: int) -> IntArray:
    """The bin of each row by the share of its group's weight that lies above it (half of equal rows)."""
    check_bins(bins)
    if not probability_N.size:
        return np.zeros(0, dtype=np.int64)
    n_groups = int(group_N.max()) + 1
    order_N = by_group_then_score(probability_N, group_N, n_groups)
    start_M = run_starts(probability_N[order_N], group_N[order_N])
    weight_M, group_M = np.add.reduceat(weight_N[order_N], start_M), group_N[order_N][start_M]
    weight_G = np.bincount(group_M, weight_M, n_groups)
    above_M = np.cumsum(weight_M) - weight_M / 2 - (np.cumsum(weight_G) - weight_G)[group_M]
    share_M = np.nan_to_num(ratio(above_M, weight_G[group_M]))
    bin_N = np.empty(order_N.size, dtype=np.int64)
    run_length_M = np.diff(start_M, append=order_N.size)
    bin_N[order_N] = np.repeat(np.clip((share_M * bins).astype(np.int64), 0, bins - 1), run_length_M)
    return bins - 1 - bin_N


def _probabilities_and_labels(probability: ArrayLike, y: ArrayLike) -> tuple[FloatArray, Column]:
    array = np.asarray(probability)
    p = probabilities("probability", array, ndim=2 if array.ndim == 2 else 1)
    y_N: Column = binary("y", y, len(p)) if p.ndim == 1 else indices("y", y, len(p), p.shape[1])
    return p.astype(np.float64), y_N


def _mean(loss_N: FloatArray, group: ArrayLike, n_groups: int, weight: ArrayLike | None) -> FloatArray:
    group_N = indices("group", group, loss_N.size, n_groups)
    return mean_per_group(loss_N, group_N, n_groups, weights(weight, loss_N.size))
