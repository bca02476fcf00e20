"""Single rows in memory, for what counts cannot tell: figures from scores, and intervals with clustered rows.

About 40 bytes a row for the codes, and 8 more for each score column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.auditing.counting import probabilities
from evenhand.auditing.counting.cells import Cells, Missing
from evenhand.auditing.counting.keys import aliases, as_number
from evenhand.auditing.figures.clusters import Clusters, effective_rows
from evenhand.auditing.figures.estimates import Estimate
from evenhand.auditing.figures.scored import Resampling, Scores, score_figures
from evenhand.auditing.reading import broken
from evenhand.auditing.reading.columns import PREDICTED, ROW, Columns
from evenhand.auditing.reading.source import Source
from evenhand.errors import BadInput
from evenhand.metrics.counts import FloatArray, IntArray

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Rows:
    """N rows that were counted, as codes.

    Attributes:
        groups: (N, K) index of the value of each group column.
        label, prediction: (N,) class indices.
        weight: (N,) ≥ 0, or None.
        scores: what the classifier said, or None.
        clusters: which rows belong together, or None.
    """

    groups: IntArray
    label: IntArray
    prediction: IntArray
    weight: FloatArray | None
    scores: Scores | None
    clusters: Clusters | None

    def group_N(self, axes: tuple[int, ...], shape: tuple[int, ...]) -> IntArray:
        """The index of each row's group in the crossing of `axes`."""
        group_N = np.zeros(len(self.label), dtype=np.int64)
        for axis in axes:
            group_N = group_N * shape[axis] + self.groups[:, axis]
        return group_N

    def figures(self, axes: tuple[int, ...], shape: tuple[int, ...]) -> dict[str, Estimate]:
        """The figures from scores of each group of the crossing; empty without scores."""
        if self.scores is None:
            return {}
        group_N = self.group_N(axes, shape)
        n_groups = int(np.prod([shape[axis] for axis in axes], dtype=np.int64))
        cluster_N = None if self.clusters is None else self.clusters.code
        return score_figures(self.scores, self.label, group_N, n_groups, weight_N=self.weight, cluster_N=cluster_N)

    def effective(
        self, axes: tuple[int, ...], shape: tuple[int, ...], value: Mapping[str, FloatArray]
    ) -> dict[str, FloatArray]:
        """Independent rows that would say as much, for each proportion of the crossing."""
        assert self.clusters is not None
        group_N = self.group_N(axes, shape)
        return effective_rows(self.clusters, group_N, (self.label, self.prediction), self.weight, value)


@dataclass(frozen=True)
class Held:
    """A source in memory, its columns with a prediction, and how many rows lacked which score and were left out."""

    source: Source
    columns: Columns
    lost: Mapping[str, int]
    dropped: int = 0


def read(
    source: Source, columns: Columns, positive: object, missing: Missing = "error", *, everything: bool = False
) -> Held:
    """The columns that are named (or all), in memory, with a column of predictions if there was none.

    Raises:
        BadInput: broken rows; scores that are no numbers, or missing and not to be dropped; no probabilities.
    """
    table = _collected(source, list(source.columns) if everything else columns.used)
    absent = probabilities.missing_scores(source, columns, table, missing)
    lost = {column.name: int(column.sum()) for column in absent.iter_columns() if column.any()}
    whole = absent.sum_horizontal() == 0 if lost else None
    dropped = 0 if whole is None else table.height - int(whole.sum())
    table = table if whole is None else table.filter(whole)
    probabilities.check(source, columns, table)
    table = table.drop(ROW)
    held = replace(source, frame=table.lazy(), columns=tuple(table.columns), suspect=None)
    if columns.prediction is None:
        predicted = probabilities.predicted(held, columns, table, positive)
        table = table.with_columns(predicted.alias(PREDICTED))
        held = replace(held, frame=table.lazy(), columns=tuple(table.columns))
        columns = replace(columns, prediction=PREDICTED)
    return Held(held, columns, lost, dropped)


def _collected(source: Source, used: list[str]) -> pl.DataFrame:
    """The columns with the number of each row; broken rows are found, blank lines left out."""
    import polars as pl

    suspect = [] if source.suspect is None else [source.suspect.alias("\0suspect")]
    wanted = source.frame.with_row_index(ROW).select([ROW, *used, *suspect])
    if source.separator is not None:
        wanted = wanted.filter(~pl.all_horizontal(pl.col(used).is_null()))
    table = source.collect(wanted)
    if suspect and table["\0suspect"].any() and source.separator is not None:
        broken.check_fields(source.files, source.separator)
    if table.is_empty():
        raise BadInput(f"{source.name} has no rows of data")
    return table.select([ROW, *used])


def rows(source: Source, columns: Columns, cells: Cells, resampling: Resampling) -> Rows:
    """The rows that were counted, as codes; those that were dropped are left out here, too.

    Raises:
        BadInput: scores are not one per class; ids are missing.
    """
    import polars as pl

    keys = aliases(columns, source)
    table = source.collect(source.frame.select(list(keys.values())))
    code_NK = np.stack([codes(table[alias], cells.lookup[alias]) for alias in keys], axis=1)
    kept_N = (code_NK >= 0).all(axis=1)
    code_NK = code_NK[kept_N]
    held = source.collect(source.frame.filter(pl.Series(kept_N)))
    kinds = dict(source.frame.collect_schema())
    weight_N = None
    if columns.weight is not None:
        weight_N = held.select(as_number(columns.weight, kinds[columns.weight])).to_series().to_numpy()
    found = None
    if columns.scores:
        found = probabilities.scores(source, columns, cells, held, resampling)
    clusters = None if columns.id is None else _clusters(held[columns.id], columns.id)
    return Rows(code_NK[:, :-2], code_NK[:, -2], code_NK[:, -1], weight_N, found, clusters)


def codes(column: pl.Series, lookup: Mapping[Any, int]) -> IntArray:
    """The index of each value, as `lookup` says; -1 for any other."""
    import polars as pl

    known = {raw: index for raw, index in lookup.items() if raw is not None}
    missing = lookup.get(None, -1)
    if not known:
        return np.where(column.is_null().to_numpy(), missing, -1).astype(np.int64)
    coded = column.replace_strict(list(known), list(known.values()), default=-1, return_dtype=pl.Int64)
    found: IntArray = np.where(column.is_null().to_numpy(), missing, coded.to_numpy()).astype(np.int64)
    return found


def _clusters(ids: pl.Series, name: str) -> Clusters:
    if ids.null_count():
        raise BadInput(f"{ids.null_count()} values of the id {name!r} are missing: every row must belong somewhere")
    code_N = ids.rank("dense").to_numpy().astype(np.int64) - 1
    return Clusters(code_N, int(code_N.max()) + 1 if len(code_N) else 0)
