"""Bootstrap intervals for metrics that have no formula: resampled within groups, whole clusters at a time.

    bootstrap(AUC(score_N, y_N), group_N, n_groups).interval()          (low_G, high_G)
    bootstrap(…).reduce(lambda auc: auc.max(-1) - auc.min(-1))          the gap, from the same resamples
    bootstrap_counts(counts_ACC, per_replicate(METRICS["accuracy_gap"])).interval()

For proportions there are formulas, which are right for small groups too: `wilson`, `worst_group`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .columns import indices, weights
from .counts import Counts, FloatArray, IntArray
from .resampled import Resampled
from .scratch import scratch, take
from .strata import Stratum, blocks, codes, draw, rows_of, strata
from .weighted import Evaluate, Statistic

CELLS = 2**22  # counts resampled at a time: 32 MiB


def bootstrap(
    statistic: Statistic,
    group_N: ArrayLike,
    n_groups: int,
    *,
    weight_N: ArrayLike | None = None,
    cluster_N: ArrayLike | None = None,
    replicates: int = 200,
    seed: int = 0,
    threads: int | None = None,
) -> Resampled:
    """Resample rows and compute a statistic of every group [G] again (Efron 1979).

    Rows are drawn with replacement within their group, whose size stays. With `cluster_N` [N] (any labels: persons,
    say) whole clusters are drawn instead; groups that share a cluster are resampled together, so that differences
    between them are right. `weight_N` [N] ≥ 0 stay with their rows. The same `seed` gives the same result, whatever the
    `threads` (None: one for each core). Needs about 30 bytes a row of the largest group and thread, beside the columns.
    Imports SciPy with clusters.

    Replicates of two calls must not be combined, equal seeds or not: each statistic has an order of rows of its own.
    `Together` evaluates several on the same resamples.

    Raises:
        BadInput: no groups, groups out of range, bad weights, different lengths, fewer than 2 replicates.
    """
    from concurrent.futures import ThreadPoolExecutor

    _check_replicates(replicates)
    if n_groups < 1:
        raise BadInput(f"n_groups must be at least 1, got {n_groups}")
    size = statistic.size
    group_N, weight_N = indices("group", group_N, size, n_groups), weights(weight_N, size)
    drawn_together, unit_N = strata(group_N, n_groups, None if cluster_N is None else codes(cluster_N, size))
    with ThreadPoolExecutor(threads or _cores()) as pool:
        prepared_G = list(
            pool.map(lambda rows: _prepare(statistic, rows, weight_N, unit_N), rows_of(group_N, n_groups))
        )
        value_G = np.stack([prepared.value for prepared in prepared_G])
        resampled = np.full((replicates, *value_G.shape), np.nan)

        def run(task: tuple[int, Stratum, int, int]) -> None:
            number, stratum, start, stop = task
            draws_RU = scratch("draws", stop - start, stratum.n_units)
            draw(np.random.default_rng([seed, number, start]), draws_RU)
            for g in stratum.groups:
                resampled[start:stop, g] = prepared_G[g].under(draws_RU)

        tasks = (
            (number, stratum, *block)
            for number, stratum in enumerate(drawn_together)
            for block in blocks(replicates, max(stratum.n_units, stratum.n_rows))
        )
        list(pool.map(run, tasks))
    return Resampled(value_G, resampled)


def bootstrap_counts(
    counts: ArrayLike, of: Callable[[IntArray], FloatArray], *, replicates: int = 1000, seed: int = 0
) -> Resampled:
    """Resample the counts behind a metric instead of the rows: the same distribution, at no cost per row.

    `counts` [S, …] rows per stratum and cell, such as [A, C, C]; each stratum keeps its size, its cells are multinomial
    with the observed shares. `of` maps counts [R, S, …] to values [R, …], any number of metrics at once;
    `per_replicate` makes one from a metric. Rows must be independent and unweighted: otherwise
    `bootstrap(Tally(…), …)`.

    Raises:
        BadInput: not whole numbers ≥ 0, fewer than 2 replicates.
    """
    _check_replicates(replicates)
    array = np.asarray(counts)
    if array.ndim < 2 or array.dtype.kind not in "iu" or (array < 0).any():
        raise BadInput(f"counts must be whole numbers ≥ 0 of shape [S, …], got {array.dtype} {list(array.shape)}")
    cells_SK = array.reshape(len(array), -1).astype(np.int64)
    size_S = cells_SK.sum(axis=1)
    share_SK = np.where(size_S[:, None] > 0, cells_SK / np.maximum(size_S, 1)[:, None], 1 / cells_SK.shape[1])
    rng, step = np.random.default_rng(seed), max(1, CELLS // max(1, array.size))
    parts = []
    for start in range(0, replicates, step):
        drawn = rng.multinomial(size_S, share_SK, size=(min(step, replicates - start), len(array)))
        parts.append(np.asarray(of(drawn.reshape(-1, *array.shape)), dtype=np.float64))
    return Resampled(np.asarray(of(array[None].astype(np.int64)), dtype=np.float64)[0], np.concatenate(parts))


def per_replicate(metric: Callable[[Counts], ArrayLike]) -> Callable[[IntArray], FloatArray]:
    """A metric of `Counts` as a function of counts [R, A, C, C], for `bootstrap_counts`."""
    return lambda counts_RACC: np.array([metric(Counts(counts_ACC)) for counts_ACC in counts_RACC], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """One group's rows in the statistic's order: how to weigh them, given how often each unit was drawn."""

    evaluate: Evaluate
    value: FloatArray
    weight_N: FloatArray | None  # noqa: N815
    unit_N: IntArray | None  # noqa: N815

    def under(self, draws_RU: FloatArray) -> FloatArray:
        drawn_RN = draws_RU if self.unit_N is None else take("rows", draws_RU, self.unit_N)
        if self.weight_N is not None:
            drawn_RN = np.multiply(drawn_RN, self.weight_N, out=scratch("weighted", *drawn_RN.shape))
        return self.evaluate(drawn_RN)


def _prepare(statistic: Statistic, rows: IntArray, weight_N: FloatArray | None, unit_N: IntArray | None) -> _Prepared:
    rows, evaluate = statistic.prepare(rows)
    weight_N = None if weight_N is None else weight_N[rows]
    value = evaluate((np.ones(rows.size) if weight_N is None else weight_N)[None])[0]
    return _Prepared(evaluate, value, weight_N, None if unit_N is None else unit_N[rows])


def _check_replicates(replicates: int) -> None:
    if replicates < 2:
        raise BadInput(f"replicates must be at least 2, got {replicates}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
