"""What is resampled with what: units (rows or clusters) within strata (groups, merged where they share a cluster)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput

from .counts import FloatArray, IntArray

BLOCK = 2**17  # units or rows resampled at a time: they stay in a core's cache
SEGMENT = 2**14  # units drawn at a time


@dataclass(frozen=True)
class Stratum:
    """Groups whose units are drawn together."""

    groups: list[int]
    n_units: int
    n_rows: int


def strata(group_N: IntArray, n_groups: int, cluster_N: IntArray | None) -> tuple[list[Stratum], IntArray | None]:
    """The strata, and the unit of each row within its stratum (None: every row is a unit). Imports SciPy with clusters.

    `cluster_N` [N] in 0..K−1, without gaps. Empty groups are in no stratum.
    """
    rows_G = np.bincount(group_N, minlength=n_groups)
    if cluster_N is None:
        return [Stratum([g], int(rows), int(rows)) for g, rows in enumerate(rows_G) if rows], None
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    K = int(cluster_N.max(initial=-1)) + 1
    shared = coo_array((np.ones(group_N.size), (group_N, n_groups + cluster_N)), shape=(n_groups + K,) * 2)
    component = connected_components(shared, directed=False)[1]
    component_G, component_K = component[:n_groups], component[n_groups:]
    order_K = np.argsort(component_K, kind="stable")
    units = np.bincount(component_K, minlength=int(component.max(initial=-1)) + 1)
    unit_K = np.empty(K, dtype=np.int64)
    unit_K[order_K] = np.arange(K) - (np.cumsum(units) - units)[component_K[order_K]]
    return list(_merged(component_G, rows_G, units)), unit_K[cluster_N]


def _merged(component_G: IntArray, rows_G: IntArray, units: IntArray) -> Iterator[Stratum]:
    groups_of: dict[int, list[int]] = {}
    for g in np.flatnonzero(rows_G).tolist():
        groups_of.setdefault(int(component_G[g]), []).append(g)
    for component, groups in groups_of.items():
        yield Stratum(groups, int(units[component]), int(rows_G[groups].sum()))


def codes(values: ArrayLike, size: int) -> IntArray:
    """Labels of clusters as 0..K−1.

    Raises:
        BadInput: not `size` labels.
    """
    labels = np.asarray(values)
    if labels.shape != (size,):
        raise BadInput(f"cluster must have one entry for each of {size} rows, got shape {list(labels.shape)}")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def rows_of(group_N: IntArray, n_groups: int) -> list[IntArray]:
    """The rows of every group, in their order."""
    narrow = np.uint16 if n_groups <= 2**16 else np.int64  # NumPy sorts 16 bits in linear time
    order = np.argsort(group_N.astype(narrow), kind="stable")
    return np.split(order, np.cumsum(np.bincount(group_N, minlength=n_groups))[:-1])


def blocks(replicates: int, size: int) -> list[tuple[int, int]]:
    """Ranges of replicates that are drawn at a time where each has `size` units or rows."""
    step = max(1, BLOCK // max(1, size))
    return [(start, min(start + step, replicates)) for start in range(0, replicates, step)]


def draw(rng: np.random.Generator, drawn_RU: FloatArray) -> None:
    """Fill in how often each unit is drawn, U draws with replacement in every row [R, U]; floats, as weights are.

    Done segment by segment, with a multinomial number of draws for each: the same distribution, within the cache.
    """
    R, U = drawn_RU.shape
    if U <= SEGMENT:
        step = SEGMENT // U
        for first in range(0, R, step):
            rows = drawn_RU[first : first + step]
            unit = rng.integers(0, U, rows.shape) + U * np.arange(len(rows))[:, None]
            rows[:] = np.bincount(unit.ravel(), minlength=rows.size).reshape(rows.shape)
        return
    starts = np.arange(0, U, SEGMENT)
    sizes = np.diff(starts, append=U)
    for row_U in drawn_RU:
        for start, size, n in zip(starts, sizes, rng.multinomial(U, sizes / U), strict=True):
            row_U[start : start + size] = np.bincount(rng.integers(0, size, n), minlength=size)
