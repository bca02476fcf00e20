"""How much of a run's gap refits of the last layer close, with intervals from the rows that judge them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from evenhand import metrics
from evenhand.metrics.counts import FloatArray, IntArray

from .rows import Rows
from .separability import Estimate

REPLICATES = 2000  # counts are resampled, which costs little


class Outcome(NamedTuple):
    """Whether each validation row is right: by the run, by refits on val and on train, and by a fit on raw inputs."""

    run: Tensor
    on_val: Tensor
    on_train: Tensor
    raw: Tensor | None


class Recovery(NamedTuple):
    """What refits change.

    Attributes:
        recovered: share of the gap between the accuracy of all other rows and that of the worst group that the better
            refit closes. What the worst group gains up to 1 / C, guessing, counts for nothing.
        worst_before: worst-group accuracy of the run's own classifier, on validation.
        worst_after: of the better refit.
        raw_gain: worst-group accuracy of a fit on raw inputs minus `worst_after`.
    """

    recovered: Estimate
    worst_before: float
    worst_after: Estimate
    raw_gain: Estimate


def recovery(outcome: Outcome, rows: Rows, seed: int = 0) -> Recovery:
    """Rows are resampled within groups, jointly for all classifiers; the fits themselves are not repeated."""
    columns = [column for column in outcome if column is not None]
    cell_N = sum(column.long() * 2**k for k, column in enumerate(columns))
    assert isinstance(cell_N, Tensor)
    n_cells, n_groups = 2 ** len(columns), rows.split.n_groups
    count_GK = np.bincount((rows.group * n_cells + cell_N).numpy(), minlength=n_groups * n_cells)
    count_GK = count_GK.reshape(n_groups, n_cells)
    count_GK = count_GK[count_GK.sum(1) > 0]
    n_G = count_GK.sum(1)
    rng = np.random.default_rng(seed)
    drawn_RGK = np.stack([rng.multinomial(n_K.sum(), n_K / n_K.sum(), REPLICATES) for n_K in count_GK], 1)
    # Which of the two refits is better, and for raw inputs how much, is settled anew in every resample.
    is_right_KM = (np.arange(n_cells)[:, None] >> np.arange(len(columns)) & 1).astype(np.float64)

    def accuracies(count_RGK: IntArray) -> FloatArray:
        return np.asarray(count_RGK @ is_right_KM / count_RGK.sum(2, keepdims=True))

    resampled = metrics.Resampled(accuracies(count_GK[None])[0], accuracies(drawn_RGK))
    return Recovery(
        _estimate(resampled.reduce(lambda rate_RGM: _recovered(rate_RGM, n_G, 1 / rows.split.n_classes))),
        float(resampled.value[:, 0].min()),
        _estimate(resampled.reduce(_after)),
        Estimate(float("nan"), -float("inf"), float("inf"))
        if outcome.raw is None
        else _estimate(resampled.reduce(lambda rate_RGM: rate_RGM[..., 3].min(1) - _after(rate_RGM))),
    )


def _after(rate_RGM: FloatArray) -> FloatArray:
    return np.asarray(rate_RGM[..., 1:3].min(1).max(1))


def _recovered(rate_RGM: FloatArray, n_G: IntArray, chance: float) -> FloatArray:
    run_RG = rate_RGM[..., 0]
    worst_R1 = run_RG.argmin(1)[:, None]
    before_R = np.take_along_axis(run_RG, worst_R1, 1)[:, 0]
    n_worst_R = n_G[worst_R1[:, 0]]
    rest_R = (run_RG @ n_G - n_worst_R * before_R) / (n_G.sum() - n_worst_R)
    start_R = np.maximum(before_R, chance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rest_R > start_R, (_after(rate_RGM) - start_R) / (rest_R - start_R), np.nan)


def _estimate(resampled: metrics.Resampled) -> Estimate:
    low, high = np.nanquantile(resampled.replicates, (0.025, 0.975))
    return Estimate(float(resampled.value), float(low), float(high))
