"""`--search`: every other column of the table is looked through for slices that are served worse than the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.auditing.counting.cells import Cells
from evenhand.auditing.counting.keys import aliases
from evenhand.auditing.counting.rows import codes
from evenhand.auditing.reading import values
from evenhand.auditing.reading.columns import PREDICTED, Columns
from evenhand.auditing.reading.source import Source
from evenhand.auditing.searching.search import search
from evenhand.auditing.searching.slicing import SliceColumn, binned

if TYPE_CHECKING:
    import polars as pl

MOST_VALUES = 50  # of a column of texts; one with more is an identifier or free text, and is skipped
FEW_NUMBERS = 10  # up to as many distinct numbers are values, more are binned


def find_slices(
    source: Source, columns: Columns, cells: Cells, confidence: float, seed: int, *, without: Sequence[str] = ()
) -> dict[str, Any]:
    """The worst slices by error rate among all columns but label, prediction, scores, weight, id and `without`.

    Numbers with more than 10 distinct values are cut into four bins of about equal size. Columns that cannot be
    searched are named in `skipped`.
    """
    keys = [key for alias, key in aliases(columns, source).items() if alias in "yp"]
    coded = source.collect(source.frame.select(keys))
    y_N, p_N = (codes(coded[alias], cells.lookup[alias]) for alias in "yp")
    kept_N = (y_N >= 0) & (p_N >= 0)
    table = source.collect(source.frame.filter(_mask(kept_N)))
    parts = {columns.label, columns.prediction, columns.weight, columns.id, *columns.scores, *without, PREDICTED}
    found, skipped = [], []
    for name in table.columns:
        if name not in parts:
            column = _column(source, table[name])
            found.append(column) if column is not None else skipped.append(name)
    slices = search(found, (y_N != p_N)[kept_N], confidence=confidence, seed=seed)
    return {
        "searched": [column.name for column in found],
        "skipped": skipped,
        "tested": slices.tested,
        "examined": slices.examined,
        "exhaustive": slices.exhaustive,
        "found": [asdict(one) | {"conditions": dict(one.conditions)} for one in slices.slices],
    }


def _column(source: Source, column: pl.Series) -> SliceColumn | None:
    """The column as categories or bins; None if it is neither."""
    if column.dtype.is_nested() or column.dtype.is_temporal():
        return None
    distinct = column.unique().to_list()
    if not column.dtype.is_numeric() and len(distinct) > MOST_VALUES and not source.reads_as_text(column.name):
        return None
    meaning = values.meaning(distinct, column.name, as_texts=source.reads_as_text(column.name))
    known = {value for value in meaning if value is not None}
    if len(known) > FEW_NUMBERS and values.kind(known) in ("whole numbers", "numbers"):
        return binned(column.name, _numbers(column))
    if not 2 <= len(known) <= MOST_VALUES:
        return None
    labels = values.ordered(known)
    position = {value: index for index, value in enumerate(labels)}
    lookup = {raw: position.get(value, -1) for raw, value in zip(distinct, meaning, strict=True) if value is not None}
    return SliceColumn(column.name, [values.written(value) for value in labels], codes(column, lookup))


def _numbers(column: pl.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    import polars as pl

    plain = column.str.strip_chars() if column.dtype == pl.String else column
    return plain.cast(pl.Float64, strict=False).to_numpy()


def _mask(kept_N: np.ndarray[Any, np.dtype[np.bool_]]) -> pl.Series:
    import polars as pl

    return pl.Series(kept_N)
