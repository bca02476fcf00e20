"""One pass of counting: how often each combination of groups, label and prediction occurs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evenhand.auditing.counting.keys import aliases, bad_weight, place, stray, sums
from evenhand.auditing.reading import broken, values
from evenhand.auditing.reading.columns import Columns, GroupColumn
from evenhand.auditing.reading.source import Source
from evenhand.auditing.reading.values import Value
from evenhand.errors import BadInput
from evenhand.metrics.counts import FloatArray, IntArray

if TYPE_CHECKING:
    import polars as pl

Missing = Literal["error", "drop", "group"]
MISSING: tuple[Missing, ...] = ("error", "drop", "group")
NO_PREDICTION = "(missing)"  # the class of missing predictions where they are kept: never right

MOST_GROUPS = 1000
MOST_CLASSES = 1000
LARGE_FILE, PEEKED_ROWS = 2**26, 100_000
MOST_CELLS = 2**26  # 0.5 GiB of counts


@dataclass(frozen=True)
class Cells:
    """Rows per combination: all that figures without scores need.

    Attributes:
        names: K group columns.
        levels: for each of them its values, in order; None stands for missing.
        classes: labels and predictions, in order; missing predictions that are kept are a last class of their own.
        count: (A1, …, AK, C, C) rows per groups, label and prediction.
        weight: of the same shape, sums of weights; None without weights.
        weight2: sums of squared weights.
        missing: rows without a value, by column.
        dropped: rows left out because of that.
        lookup: raw value → index into `levels` or `classes`, by alias (g0, …, y, p).
    """

    names: tuple[str, ...]
    levels: tuple[tuple[Value | None, ...], ...]
    classes: tuple[Value, ...]
    count: IntArray
    weight: FloatArray | None
    weight2: FloatArray | None
    missing: Mapping[str, int]
    dropped: int
    lookup: Mapping[str, Mapping[Any, int]]

    @property
    def n_real(self) -> int:
        """How many classes figures are about: all but that of missing predictions."""
        return len(self.classes) - (NO_PREDICTION in self.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each group column."""
        return self.count.shape[:-2]

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.count.shape[-1])


def count_cells(source: Source, columns: Columns, missing: Missing = "error", max_groups: int = MOST_GROUPS) -> Cells:
    """Count in one streaming pass over the columns that are named.

    `missing`: rows without label, prediction or group are an error, are dropped, or are kept where that has a meaning
    ("group"): a missing group value is a group of its own, a missing prediction is never right, and rows without a
    label are dropped. They are counted whatever happens.

    Raises:
        BadInput: nothing to count, missing values, labels and predictions of different types, too many groups or
            classes, negative weights, broken rows.
    """
    keys = aliases(columns, source)
    _peek(source, columns, keys, max_groups)
    table = source.collect(source.frame.group_by(list(keys.values())).agg(sums(source, columns)))
    if source.separator is not None and source.suspect is not None and table["suspect"].sum():
        broken.check_fields(source.files, source.separator)
    table = _without_blank_lines(source, table, list(keys))
    if not table["n"].sum():
        raise BadInput(f"{source.name} has no rows of data")
    _check_weights(source, columns, table)
    found = _typed(source, columns, table, keys, max_groups)
    if missing == "error" and found.lost:
        raise _missing_error(source, found, keys, int(table["n"].sum()))
    return _dense(columns, table, found, keep=missing == "group", max_groups=max_groups)


def _peek(source: Source, columns: Columns, keys: Mapping[str, pl.Expr], max_groups: int) -> None:
    """Refuse a column of identifiers after a glance at a large file, before a count of them fills the memory."""
    import polars as pl

    if sum(file.stat().st_size for file in source.files) < LARGE_FILE:
        return
    distinct = source.collect(source.frame.head(PEEKED_ROWS).select(key.n_unique() for key in keys.values()))
    for index, group in enumerate(columns.groups):
        if (found := distinct[f"g{index}"][0]) > max_groups + 1:
            raise _too_many(group, f"at least {found}", max_groups)
    if prod(distinct.select(pl.all().exclude("y", "p")).row(0)) > MOST_CELLS:
        raise BadInput(f"{' × '.join(group.name for group in columns.groups)} are too many groups; cross fewer columns")


def _without_blank_lines(source: Source, table: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Blank lines of a text file are no rows; those without any key are looked at again."""
    import polars as pl

    empty = pl.all_horizontal(pl.col(key).is_null() for key in keys)
    if source.separator is None or not table.filter(empty).height:
        return table
    blank = source.frame.filter(pl.all_horizontal(pl.all().is_null())).select(pl.len())
    n_blank = int(source.collect(blank).item())
    kept = table.with_columns(n=pl.when(empty).then(pl.col("n").cast(pl.Int64) - n_blank).otherwise(pl.col("n")))
    if "bad" in table.columns:  # a blank line has no weight either
        kept = kept.with_columns(
            bad=pl.when(empty).then(pl.col("bad").cast(pl.Int64) - n_blank).otherwise(pl.col("bad"))
        )
    return kept.filter(pl.col("n") > 0)


def _check_weights(source: Source, columns: Columns, table: pl.DataFrame) -> None:
    if columns.weight is not None and (bad := int(table["bad"].sum())):
        where = place(source, bad_weight(source, columns.weight))
        raise BadInput(
            f"weights must be finite and ≥ 0: {bad} values of {columns.weight!r} in {source.name} are not, "
            f"the first in {where}"
        )
    if columns.weight is not None and not table["w"].sum() > 0:
        raise BadInput(f"the weights {columns.weight!r} in {source.name} are all 0")


@dataclass(frozen=True)
class _Found:
    """The distinct raw values of every key, what each of them means, and rows without a value by column."""

    raw: Mapping[str, list[Any]]
    meaning: Mapping[str, list[Value | None]]
    lost: Mapping[str, int]


def _typed(
    source: Source, columns: Columns, table: pl.DataFrame, keys: Mapping[str, pl.Expr], max_groups: int
) -> _Found:
    raw = {alias: table[alias].unique().to_list() for alias in keys}
    meaning: dict[str, list[Value | None]] = {}
    for index, group in enumerate(columns.groups):
        if len(raw[f"g{index}"]) > max_groups:
            raise _too_many(group, str(len(raw[f"g{index}"])), max_groups)
        meaning[f"g{index}"] = _group_values(source, group, raw[f"g{index}"], table, f"stray{index}")
    for alias, name in (("y", columns.label), ("p", columns.prediction or "")):
        if len(raw[alias]) > MOST_CLASSES:
            raise BadInput(
                f"the column {name!r} has {len(raw[alias])} different values, more than the {MOST_CLASSES} that fit as "
                "classes; probabilities or scores are passed with --score"
            )
        meaning[alias] = _values(source, name, raw[alias])
    meaning["y"], meaning["p"] = values.comparable(meaning["y"], meaning["p"])
    return _Found(raw, meaning, _missing_rows(columns, raw, meaning, table))


def _group_values(
    source: Source, group: GroupColumn, raw: list[Any], table: pl.DataFrame, alias: str
) -> list[Value | None]:
    if not group.edges:
        return _values(source, group.name, raw)
    if strays := int(table[alias].sum()):
        where = place(source, stray(source, group))
        raise BadInput(
            f"the column {group.name!r} has bins but {strays} of its values are no numbers, the first in {where}"
        )
    return [None if index is None else group.bins[index] for index in raw]


def _values(source: Source, name: str, raw: list[Any]) -> list[Value | None]:
    return values.meaning(raw, name, as_texts=source.reads_as_text(name))


def _too_many(group: GroupColumn, found: str, most: int) -> BadInput:
    return BadInput(
        f"the group column {group.name!r} has {found} different values, more than {most}; if they are numbers, bin "
        f"them ({group.name}:0,40,60), if they are groups, raise --max-groups"
    )


def _missing_rows(
    columns: Columns, raw: Mapping[str, list[Any]], meaning: Mapping[str, list[Value | None]], table: pl.DataFrame
) -> dict[str, int]:
    names = {"y": columns.label, "p": columns.prediction or ""}
    names |= {f"g{index}": group.name for index, group in enumerate(columns.groups)}
    rows = table["n"]
    lost = {}
    for alias, name in names.items():
        gone = [text for text, value in zip(raw[alias], meaning[alias], strict=True) if value is None]
        is_gone = table[alias].is_in([text for text in gone if text is not None]).fill_null(value=False)
        lost[name] = int(rows.filter(is_gone | table[alias].is_null()).sum())
    return {name: count for name, count in lost.items() if count}


def _missing_error(source: Source, found: _Found, keys: Mapping[str, pl.Expr], total: int) -> BadInput:
    import polars as pl

    listed = ", ".join(f"{count} in {name!r}" for name, count in found.lost.items())
    absent = [
        key.is_null() | key.is_in([text for text, value in pairs if value is None and text is not None])
        for alias, key in keys.items()
        for pairs in [list(zip(found.raw[alias], found.meaning[alias], strict=True))]
    ]
    return BadInput(
        f"{source.name} has missing values: {listed} (of {total} rows, the first in "
        f"{place(source, pl.any_horizontal(absent))}). --missing drop leaves these rows out, --missing group makes a "
        "missing group value a group and a missing prediction a wrong one"
    )


def _dense(columns: Columns, table: pl.DataFrame, found: _Found, *, keep: bool, max_groups: int) -> Cells:
    meaning = {alias: list(listed) for alias, listed in found.meaning.items()}
    if keep:
        meaning["p"] = [NO_PREDICTION if value is None else value for value in meaning["p"]]
    levels = tuple(_levels(group, meaning[f"g{index}"], keep) for index, group in enumerate(columns.groups))
    present = {value for alias in "yp" for value in meaning[alias] if value is not None}
    classes = (*values.ordered(present - {NO_PREDICTION}), *present & {NO_PREDICTION})
    if prod(map(len, levels)) > max_groups:
        sizes = " × ".join(f"{len(level)} {group.name}" for group, level in zip(columns.groups, levels, strict=True))
        raise BadInput(f"{sizes} are more than {max_groups} groups; cross fewer columns or raise --max-groups")
    if prod(map(len, levels)) * len(classes) ** 2 > MOST_CELLS:
        raise BadInput(f"{prod(map(len, levels))} groups and {len(classes)} classes need too many counts; name fewer")
    order: dict[str, Sequence[Value | None]] = {f"g{index}": level for index, level in enumerate(levels)}
    order |= {"y": classes, "p": classes}
    lookup = {alias: _indices(found.raw[alias], meaning[alias], order[alias]) for alias in order}
    index_by_alias = [
        np.array([lookup[alias][raw] for raw in table[alias].to_list()], dtype=np.int64) for alias in order
    ]
    kept = np.all([index >= 0 for index in index_by_alias], axis=0)
    shape = tuple(len(listed) for listed in order.values())
    where = tuple(index[kept] for index in index_by_alias)
    rows = table["n"].to_numpy().astype(np.int64)
    weighted = columns.weight is not None
    if not kept.any():
        raise BadInput("no row is left: every one lacks a label, a prediction or a group")
    return Cells(
        tuple(group.name for group in columns.groups),
        levels,
        classes,
        _scatter(shape, where, rows[kept]),
        _scatter(shape, where, table["w"].to_numpy()[kept]) if weighted else None,
        _scatter(shape, where, table["w2"].to_numpy()[kept]) if weighted else None,
        found.lost,
        int(rows[~kept].sum()),
        lookup,
    )


def _levels(group: GroupColumn, found: Sequence[Value | None], keep: bool) -> tuple[Value | None, ...]:
    present = [value for value in found if value is not None]
    if group.edges:
        ends = {group.bins[0], group.bins[-1]} - set(present)
        level: list[Value | None] = [name for name in group.bins if name not in ends]
    else:
        level = list(values.ordered(present))
    return (*level, None) if keep and len(present) < len(found) else tuple(level)


def _indices(raw: list[Any], meaning: Sequence[Value | None], order: Sequence[Value | None]) -> dict[Any, int]:
    position = {value: index for index, value in enumerate(order)}
    return {text: position.get(value, -1) for text, value in zip(raw, meaning, strict=True)}


def _scatter(shape: tuple[int, ...], where: tuple[IntArray, ...], amounts: Any) -> Any:
    sums = np.zeros(shape, dtype=amounts.dtype)
    np.add.at(sums, where, amounts)
    return sums
