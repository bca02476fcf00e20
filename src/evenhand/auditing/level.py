"""The figures of one crossing of group columns: all rows, one column's values, or several columns crossed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from evenhand.auditing.counting.cells import Cells
from evenhand.auditing.figures.counted import Table, class_figures, from_counts
from evenhand.auditing.figures.estimates import Estimate
from evenhand.auditing.reading.values import Value
from evenhand.metrics.counts import IntArray
from evenhand.metrics.intervals import IntervalMethod

if TYPE_CHECKING:
    from evenhand.auditing.counting.rows import Rows

Axes = tuple[int, ...]
Number = TypeVar("Number", np.int64, np.float64)
MOST_CROSSED = 4  # with more columns than this only single columns and the full crossing are shown


@dataclass(frozen=True)
class Audited:
    """What was counted (and, for scores and clusters, read) and how it is to be looked at.

    Attributes:
        cells: the counts.
        rows: single rows; None where counts are enough.
        positive: index of the positive class; None for averages over classes.
        confidence: of every interval, in (0, 1).
        method: of the intervals of proportions.
    """

    cells: Cells
    rows: Rows | None
    positive: int | None
    confidence: float
    method: IntervalMethod


@dataclass(frozen=True)
class Level:
    """K groups that part the rows: the crossing of the group columns `axes`, in row-major order."""

    axes: Axes
    groups: tuple[Mapping[str, Value | None], ...]
    table: Table
    figures: Mapping[str, Estimate]

    @property
    def rows(self) -> IntArray:
        """Rows of each group [K]."""
        return self.table.rows


def level(audited: Audited, axes: Axes) -> Level:
    """The figures of every group of the crossing of `axes`; `()` is all rows as one group."""
    table = table_of(audited, axes)
    figures = from_counts(table, audited.positive)
    if audited.rows is not None:
        figures |= audited.rows.figures(axes, audited.cells.shape)
    return Level(axes, groups_of(audited.cells, axes), table, figures)


def table_of(audited: Audited, axes: Axes) -> Table:
    """The counts of the crossing of `axes`."""
    cells = audited.cells
    count = _sum(cells.count, axes)
    weight, weight2 = (None if sums is None else _sum(sums, axes) for sums in (cells.weight, cells.weight2))
    effective = None
    if audited.rows is not None and audited.rows.clusters is not None:
        proportions = Table(count, weight).proportions()
        effective = audited.rows.effective(axes, cells.shape, {name: p.value for name, p in proportions.items()})
    return Table(count, weight, weight2, effective, audited.method, cells.n_real)


def by_class(level: Level) -> dict[str, Estimate]:
    """Figures of every class against the rest [C, K]."""
    return class_figures(level.table)


def groups_of(cells: Cells, axes: Axes) -> tuple[Mapping[str, Value | None], ...]:
    """Column → value, for every group of the crossing of `axes`."""
    shape = tuple(cells.shape[axis] for axis in axes)
    return tuple(
        {cells.names[axis]: cells.levels[axis][index] for axis, index in zip(axes, indices, strict=True)}
        for indices in np.ndindex(*shape)
    )


def marginal_axes(n_columns: int) -> list[Axes]:
    """The crossings of some but not all group columns, single columns first."""
    sizes = range(1, n_columns) if n_columns <= MOST_CROSSED else range(1, 2)
    return [axes for size in sizes for axes in combinations(range(n_columns), size)]


def _sum(array: NDArray[Number], axes: Axes) -> NDArray[Number]:
    groups = array.ndim - 2
    summed: NDArray[Number] = array.sum(axis=tuple(axis for axis in range(groups) if axis not in axes))
    return summed.reshape(-1, *array.shape[-2:])
