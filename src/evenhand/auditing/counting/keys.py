"""The queries behind counting: what is grouped by, and what is added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.auditing.reading import broken, values
from evenhand.auditing.reading.columns import Columns, GroupColumn
from evenhand.auditing.reading.source import Source

if TYPE_CHECKING:
    import polars as pl


def aliases(columns: Columns, source: Source) -> dict[str, pl.Expr]:
    """The keys that are counted: g0, …, y, p; NaN is null, numbers with edges are the index of their bin."""
    kinds = dict(source.frame.collect_schema())
    keys = {f"g{index}": _key(group.name, kinds, group.edges) for index, group in enumerate(columns.groups)}
    keys["y"] = _key(columns.label, kinds)
    keys["p"] = _key(columns.prediction or "", kinds)
    return {alias: key.alias(alias) for alias, key in keys.items()}


def _key(name: str, kinds: Mapping[str, Any], edges: Sequence[float] = ()) -> pl.Expr:
    import polars as pl

    column = pl.col(name)
    if edges:
        number = as_number(name, kinds[name])
        bin_index = pl.sum_horizontal([(number >= edge).cast(pl.Int32) for edge in edges])
        return pl.when(number.is_not_null()).then(bin_index)
    return column.fill_nan(None) if kinds[name].is_float() else column


def as_number(name: str, kind: Any) -> pl.Expr:
    """The column as Float64, null where it is missing or no number."""
    import polars as pl

    column = pl.col(name)
    if kind == pl.String:
        column = column.str.strip_chars()
    return column.cast(pl.Float64, strict=False).fill_nan(None)


def stray(source: Source, group: GroupColumn) -> pl.Expr:
    """Whether a value that should fall into a bin is neither a number nor missing."""
    import polars as pl

    text = pl.col(group.name).cast(pl.String).str.strip_chars().str.to_lowercase()
    number = as_number(group.name, source.frame.collect_schema()[group.name])
    return number.is_null() & ~text.is_in(list(values.MISSING_WORDS))


def bad_weight(source: Source, name: str) -> pl.Expr:
    """Whether a weight is missing, negative or infinite."""
    weight = as_number(name, source.frame.collect_schema()[name])
    return weight.is_null() | (weight < 0) | weight.is_infinite()


def sums(source: Source, columns: Columns) -> list[pl.Expr]:
    """Rows (n), suspicious rows, values that no bin takes (stray0, …), and weights (w, w2, bad) of each combination."""
    import polars as pl

    wanted = [pl.len().alias("n")]
    if source.suspect is not None:
        wanted.append(source.suspect.sum().alias("suspect"))
    for index, group in enumerate(columns.groups):
        if group.edges:
            wanted.append(stray(source, group).sum().alias(f"stray{index}"))
    if columns.weight is not None:
        weight = as_number(columns.weight, source.frame.collect_schema()[columns.weight])
        bad = bad_weight(source, columns.weight)
        wanted += [weight.sum().alias("w"), (weight**2).sum().alias("w2"), bad.sum().alias("bad")]
    return wanted


def place(source: Source, wrong: pl.Expr) -> str:
    """Where the first row is for which `wrong` is true: file and line where that can be told."""
    row = source.collect(source.frame.select(wrong.fill_null(value=False).arg_true().first())).item()
    return broken.line_of(source.files, source.separator, int(row or 0))
