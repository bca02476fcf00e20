"""Groups from a table in the place of a data set's own attributes: discovered clusters, or labels collected later."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars
import torch

from evenhand.batch import Split
from evenhand.errors import BadInput

Texts = np.ndarray[tuple[int], np.dtype[np.object_]]
COLUMNS = ("split", "row", "group")
SPLITS = ("train", "val")


def regrouped(path: Path, train: Split, val: Split) -> tuple[Split, Split]:
    """The splits with the groups of the table `path` (CSV or Parquet: `split`, `row` from 0, `group`).

    A value of `group` stands for a group of its own within each class; a row that is not listed, or has none, belongs
    to no known group. Rows of other splits play no part.

    Raises:
        BadInput: no such file or column, a row that there is not, or one that is listed twice.
    """
    table = read(path)
    splits = {"train": train, "val": val}
    found = {name: _values(path, table, name, len(split)) for name, split in splits.items()}
    names = _names([(split.y.cpu().numpy(), found[name]) for name, split in splits.items()])
    most = max((len(of_class) for of_class in names.values()), default=0)
    if most < 2:
        raise BadInput(f"{path} must tell at least two groups of one class in train and val, got {most}")
    made = [_with_groups(split, found[name], names, most) for name, split in splits.items()]
    return made[0], made[1]


def read(path: Path) -> polars.DataFrame:
    """The table.

    Raises:
        BadInput: it cannot be read, or lacks a column.
    """
    if not path.is_file():
        raise BadInput(f"there is no table of groups {path}")
    try:
        table = polars.read_parquet(path) if path.suffix == ".parquet" else polars.read_csv(path, infer_schema=False)
    except (polars.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"cannot read the table of groups {path}: {str(error).splitlines()[0]}") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise BadInput(f"the table of groups {path} must have the columns {', '.join(COLUMNS)}; it lacks {missing[0]}")
    return table


def digest(path: Path) -> str:
    """Hash of the table's file: runs on other groups are other runs."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _values(path: Path, table: polars.DataFrame, name: str, n_rows: int) -> Texts:
    """(N,) the group of each row as a text, None where there is none."""
    part = table.filter(polars.col("split") == name)
    row = part["row"].cast(polars.Int64, strict=False)
    if row.null_count() or (len(row) and (int(row.min()) < 0 or int(row.max()) >= n_rows)):  # type: ignore[arg-type]
        bad = part["row"].filter(row.is_null() | (row < 0) | (row >= n_rows))[0]
        raise BadInput(f"{path}: row must lie in 0..{n_rows - 1} for split {name}, got {bad!r}")
    if row.is_duplicated().any():
        raise BadInput(f"{path} lists row {row.filter(row.is_duplicated())[0]} of split {name} twice")
    values = np.full(n_rows, None, dtype=object)
    values[row.to_numpy()] = part["group"].cast(polars.String).to_list()
    return values


def _names(parts: list[tuple[np.ndarray[Any, Any], Texts]]) -> dict[int, dict[str, int]]:
    """For each class the index of each of its groups, in the order of their names."""
    pairs = {(int(c), value) for y, values in parts for c, value in zip(y, values, strict=True) if value is not None}
    found: dict[int, dict[str, int]] = {}
    for c, value in sorted(pairs):
        of_class = found.setdefault(c, {})
        of_class[value] = len(of_class)
    return found


def _with_groups(split: Split, values: Texts, names: dict[int, dict[str, int]], most: int) -> Split:
    code = [-1 if v is None else names[int(c)][v] for c, v in zip(split.y.tolist(), values, strict=True)]
    return replace(
        split,
        attributes=torch.tensor(code, dtype=torch.int64)[:, None],
        attribute_sizes=(most,),
        attribute_names=("group",),
        attribute_values=(tuple(str(k) for k in range(most)),),
    )
