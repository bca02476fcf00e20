"""Tables and arrays in memory: Polars, pandas, Arrow, NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.auditing.reading.source import Source
from evenhand.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

PARTS = ("label", "prediction", "weight", "id")


def from_table(data: Any, name: str = "the table") -> Source:
    """A Polars frame (lazy or not), a pandas frame, anything that exports Arrow, or a mapping of names to arrays.

    Raises:
        BadInput: none of these, or columns of different lengths.
    """
    import polars as pl

    if isinstance(data, pl.LazyFrame):
        return Source(data, tuple(data.collect_schema().names()), name)
    frame = _frame(data)
    return Source(frame.lazy(), tuple(frame.columns), name)


def from_arrays(parts: Mapping[str, Any]) -> tuple[Source, dict[str, Any]]:
    """The arrays as one table, and the name that each part has in it.

    Raises:
        BadInput: label or group is missing, an array is not one-dimensional, or lengths differ.
    """
    if parts["label"] is None or isinstance(parts["label"], str):
        raise BadInput("without a table, label must be an array")
    arrays = {name: parts[name] for name in PARTS if parts[name] is not None}
    groups = _named(parts["group"], "group")
    scores = _named(parts["score"], "score")
    taken = {name for name in groups if name in arrays or name in scores}
    renamed = {(f"group {name}" if name in taken else name): array for name, array in groups.items()}
    frame = _frame({**arrays, **scores, **renamed})
    named = {name: name if name in arrays else None for name in PARTS}
    return Source(frame.lazy(), tuple(frame.columns), "the arrays"), {
        **named, "groups": list(renamed), "scores": list(scores),
    }  # fmt: skip


def _named(given: Any, part: str) -> dict[str, Any]:
    """Name → one-dimensional array, whatever way the arrays were given."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): array for name, array in given.items()}
    if hasattr(given, "columns"):
        return {str(name): given[name] for name in given.columns}
    array = given if hasattr(given, "ndim") else np.asarray(given)
    if array.ndim == 2:
        return {f"{part} {index}": array[:, index] for index in range(array.shape[1])}
    name = getattr(given, "name", None)
    return {name if isinstance(name, str) and name not in PARTS else part: given}


def _frame(data: Any) -> pl.DataFrame:
    import polars as pl

    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, np.ndarray) and data.dtype.names:
        data = {name: data[name] for name in data.dtype.names}
    if type(data).__module__.partition(".")[0] == "pandas":
        data = {str(name): data[name] for name in data.columns}
    if isinstance(data, Mapping):
        columns = [_series(str(name), values) for name, values in data.items()]
        lengths = {column.name: len(column) for column in columns}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BadInput(f"all columns must be equally long, got {listed}")
        return pl.DataFrame(columns)
    if hasattr(data, "__arrow_c_stream__"):
        return pl.DataFrame(data)
    raise BadInput(
        "data must be a path, a Polars, pandas or Arrow table, or a mapping of names to arrays, "
        f"got {type(data).__name__}"
    )


def _series(name: str, values: Any) -> pl.Series:
    """One column as Polars holds it; objects are numbers, texts or truth values if all of them are."""
    import polars as pl

    if isinstance(values, pl.Series):
        return values.rename(name)
    array = _array(values)
    if array.ndim != 1:
        raise BadInput(f"{name} must be one-dimensional, got shape {list(array.shape)}")
    if array.dtype.kind not in "OUST":
        return pl.Series(name, np.ascontiguousarray(array))
    try:
        return pl.Series(name, array.tolist(), strict=True)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{name} must hold values of one type, got a mixture: {_types(array)}") from error


def _array(values: Any) -> np.ndarray[Any, Any]:
    if type(values).__module__.partition(".")[0] == "pandas":
        if getattr(values.dtype, "kind", "O") in "biuf" and isinstance(values.dtype, np.dtype):
            return np.asarray(values)
        plain = values.astype(object)
        return np.asarray(plain.where(plain.notna(), None), dtype=object)
    if isinstance(values, Sequence) and not isinstance(values, str):
        return np.array([None if value is None else value for value in values], dtype=_dtype(values))
    return np.asarray(values)


def _dtype(values: Sequence[Any]) -> Any:
    """NumPy turns 1 and "a" in a list both into texts; objects stay what they are."""
    kinds = {type(value) for value in values}
    return None if len(kinds) == 1 and kinds <= {int, float, bool} else object


def _types(array: np.ndarray[Any, Any]) -> str:
    return ", ".join(sorted({type(value).__name__ for value in array.tolist()}))
