"""Two models' predictions of the same rows, compared group by group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.auditing.counting.cells import Cells
from evenhand.auditing.counting.keys import aliases
from evenhand.auditing.counting.rows import codes, read
from evenhand.auditing.level import groups_of
from evenhand.auditing.reading import memory, values
from evenhand.auditing.reading.columns import Columns, require
from evenhand.auditing.reading.source import Source, open_path
from evenhand.errors import BadInput
from evenhand.metrics.mcnemar import PairedGroup, paired_groups

if TYPE_CHECKING:
    import polars as pl

Record = dict[str, Any]


def open_other(against: Any, columns: Columns, split: str | None, positive: Any) -> tuple[Source, Columns]:
    """The other predictions, with the same columns; derived from scores where the first ones are.

    Raises:
        BadInput: they cannot be read, or lack a column.
    """
    is_path = isinstance(against, str | Path)
    other = open_path(Path(against), split) if is_path else memory.from_table(against, "the other table")
    named = (columns.label, columns.prediction, columns.id, *(() if columns.prediction else columns.scores))
    for name in named:
        if name is not None:
            require(name, other.columns, other.name)
    if columns.prediction is not None:
        return other, columns
    held = read(other, columns, positive)
    return held.source, held.columns


def compare(ours: tuple[Source, Columns], theirs: tuple[Source, Columns], cells: Cells, confidence: float) -> Record:
    """The audited predictions against other ones of the same rows: McNemar's test per group, Holm-corrected.

    Rows are matched by the id column if every id occurs once on both sides, otherwise by their order; the labels must
    agree. Both are read into memory.

    Raises:
        BadInput: not the same rows, or ids that occur twice in another order.
    """
    (source, columns), (other, other_columns) = ours, theirs
    ids = [] if columns.id is None else [columns.id]
    first = source.collect(source.frame.select([*aliases(columns, source).values(), *ids]))
    label, prediction = other_columns.label, other_columns.prediction or ""
    second = other.collect(other.frame.select([label, prediction, *ids]))
    first, second = _matched(first, second, columns.id, f"{source.name} and {other.name}")
    truth_N = _texts(source, first["y"], columns.label)
    _check_same_labels(truth_N, _texts(other, second[label], label), f"{source.name} and {other.name}")
    right_N = truth_N == _texts(source, first["p"], columns.prediction or "")
    other_right_N = truth_N == _texts(other, second[prediction], prediction)
    index_KN = np.stack([codes(first[f"g{axis}"], cells.lookup[f"g{axis}"]) for axis in range(len(cells.shape))])
    kept_N = (index_KN >= 0).all(axis=0) & (codes(first["y"], cells.lookup["y"]) >= 0)
    group_N = np.ravel_multi_index(tuple(index_KN[:, kept_N]), cells.shape)
    everyone = paired_groups(other_right_N[kept_N], right_N[kept_N], np.zeros_like(group_N), 1, confidence)
    rows = paired_groups(other_right_N[kept_N], right_N[kept_N], group_N, int(np.prod(cells.shape)), confidence)
    groups = groups_of(cells, tuple(range(len(cells.shape))))
    each = [{"group": dict(groups[row.group])} | _record(row) for row in rows]
    dependent = columns.id is not None and first[columns.id].is_duplicated().any()
    return {
        "source": other.name,
        "rows_are_dependent": bool(dependent),
        "overall": _record(everyone[0]),
        "groups": sorted(each, key=lambda record: (np.isnan(record["difference"]), record["difference"])),
    }


def _record(row: PairedGroup) -> Record:
    return {
        "count": row.n,
        "accuracy": row.accuracy_second,
        "accuracy_against": row.accuracy_first,
        "difference": row.difference,
        "low": row.low,
        "high": row.high,
        "only_this_right": row.only_second,
        "only_other_right": row.only_first,
        "p_value": row.p_value,
        "p_adjusted": row.p_adjusted,
    }


def _matched(first: pl.DataFrame, second: pl.DataFrame, id: str | None, both: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    if first.height != second.height:
        raise BadInput(f"{both} must hold the same rows, got {first.height} and {second.height}")
    if id is None or first[id].cast(str).equals(second[id].cast(str)):
        return first, second
    for table in (first, second):
        if (repeated := table[id].is_duplicated()).any():
            example = table[id].filter(repeated)[0]
            raise BadInput(
                f"the rows of {both} are in different orders and cannot be matched by {id!r}: "
                f"{example!r} is there {int((table[id] == example).sum())} times"
            )
    first, second = first.sort(id), second.sort(id)
    if not first[id].cast(str).equals(second[id].cast(str)):
        raise BadInput(f"{both} must hold the same rows, but their ids {id!r} differ")
    return first, second


def _check_same_labels(label_N: Any, other_N: Any, both: str) -> None:
    different_N = label_N != other_N
    if different_N.any():
        raise BadInput(
            f"{both} must hold the same rows in the same order (or name an --id without duplicates): the labels differ "
            f"in {int(different_N.sum())} rows, the first is row {int(different_N.argmax()) + 1}"
        )


def _texts(source: Source, column: pl.Series, name: str) -> Any:
    """Each value as it is written, so that files of different kinds can be compared."""
    raw = column.unique().to_list()
    meaning = values.meaning(raw, name, as_texts=source.reads_as_text(name))
    known = {text: values.written(value) for text, value in zip(raw, meaning, strict=True)}
    return np.array([known[text] for text in column.to_list()], dtype=object)
