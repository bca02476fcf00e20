"""Columns of a table of predictions, checked: scores, binary labels, groups, weights."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenhand.errors import BadInput

from .counts import FloatArray, IntArray, ratio

Column = NDArray[Any]


def scores(name: str, values: ArrayLike, ndim: int = 1) -> Column:
    """Numbers that can be ordered: any real dtype, infinite allowed, NaN not; [N] or [N, C]."""
    array = np.asarray(values)
    if array.ndim != ndim or (array.size and array.dtype.kind not in "iufb"):
        raise BadInput(f"{name} must be numbers of shape {'[N, C]'[: 3 * ndim]}, got {array.dtype} {list(array.shape)}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise BadInput(f"{name} must not be NaN, got NaN in row {int(np.argwhere(np.isnan(array))[0][0])}")
    return array


def probabilities(name: str, values: ArrayLike, ndim: int = 1) -> Column:
    """Scores in [0, 1]."""
    array = scores(name, values, ndim)
    outside = (array < 0) | (array > 1)
    if outside.any():
        row = int(np.argwhere(outside)[0][0])
        raise BadInput(f"{name} must be probabilities in [0, 1], got {array[outside][0]} in row {row}")
    return array


def binary(name: str, values: ArrayLike, size: int) -> NDArray[np.bool_]:
    """`size` labels, booleans or 0 and 1, as booleans."""
    array = _sized(name, values, size)
    if array.dtype.kind == "b":
        return array.astype(np.bool_, copy=False)
    wrong = (array != 0) & (array != 1)
    if array.dtype.kind not in "iuf" or wrong.any():
        got = array.dtype if array.dtype.kind not in "iuf" else array[wrong][0]
        raise BadInput(f"{name} must be 0 or 1, got {got}")
    labels: NDArray[np.bool_] = array == 1
    return labels


def indices(name: str, values: ArrayLike, size: int, n: int) -> IntArray:
    """`size` whole numbers in 0..n−1: groups, classes."""
    array = _sized(name, values, size)
    if array.size and array.dtype.kind not in "iub":
        raise BadInput(f"{name} must be integer indices 0..{n - 1}, got {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= n):
        row = int(np.flatnonzero((array < 0) | (array >= n))[0])
        raise BadInput(f"{name} must be in 0..{n - 1}, got {array[row]} in row {row}")
    return array.astype(np.int64, copy=False)


def weights(values: ArrayLike | None, size: int) -> FloatArray | None:
    """`size` finite numbers ≥ 0; None stays None (every row counts once)."""
    if values is None:
        return None
    array = _sized("weight", values, size)
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0))) if array.dtype.kind in "iufb" else [0]
    if len(wrong):
        raise BadInput(f"weights must be finite and ≥ 0, got {array[wrong[0]]} in row {wrong[0]}")
    return array.astype(np.float64)


def mean_per_group(value_N: FloatArray, group_N: IntArray, n_groups: int, weight_N: FloatArray | None) -> FloatArray:
    """(Weighted) mean of each group; NaN where a group is empty or weighs nothing."""
    if weight_N is None:
        return ratio(np.bincount(group_N, value_N, n_groups), np.bincount(group_N, minlength=n_groups))
    return ratio(np.bincount(group_N, weight_N * value_N, n_groups), np.bincount(group_N, weight_N, n_groups))


def _sized(name: str, values: ArrayLike, size: int) -> Column:
    array = np.asarray(values)
    if array.shape != (size,):
        raise BadInput(f"{name} must have one entry for each of {size} rows, got shape {list(array.shape)}")
    return array
