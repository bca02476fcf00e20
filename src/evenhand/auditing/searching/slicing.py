"""Columns that slices are cut from: values as codes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput
from evenhand.metrics.counts import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class SliceColumn:
    """`code_N` [N] in 0..K−1, or −1 for rows without a value, which are in no slice of this column; `labels` [K].

    Raises:
        BadInput: not one-dimensional whole numbers, or codes without a label.
    """

    name: str
    labels: Sequence[str]
    code_N: IntArray  # noqa: N815

    def __post_init__(self) -> None:
        code_N, K = np.asarray(self.code_N), len(self.labels)
        if code_N.ndim != 1 or code_N.dtype.kind not in "iu":
            raise BadInput(f"codes of {self.name!r} must be whole numbers [N], got {code_N.dtype} {list(code_N.shape)}")
        if code_N.size and (code_N.min() < -1 or code_N.max() >= K):
            raise BadInput(f"codes of {self.name!r} must be in -1..{K - 1}, got {code_N.min()}..{code_N.max()}")


def categorical(name: str, values: ArrayLike) -> SliceColumn:
    """A column of categories: every distinct value is one. None and NaN are no value."""
    array = np.asarray(values)
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    if array.dtype.kind == "O":
        missing = np.array([_is_missing(value) for value in array], dtype=bool)
        array = array.astype(str)
    labels, codes = np.unique(array[~missing], return_inverse=True)
    code_N = np.full(array.shape, -1, dtype=np.int64)
    code_N[~missing] = codes
    return SliceColumn(name, [str(label) for label in labels], code_N)


def binned(name: str, values: ArrayLike, bins: int = 4) -> SliceColumn:
    """A numeric column in bins of about equal size; equal values stay together. NaN is no value.

    Edges are rounded to three digits where that leaves bins apart, so that a slice can be said and asked for again.

    Raises:
        BadInput: not numbers, or bins < 2.
    """
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iufb"):
        raise BadInput(f"{name!r} must be numbers to be binned, got {array.dtype} {list(array.shape)}")
    if bins < 2:
        raise BadInput(f"bins must be at least 2, got {bins}")
    array = array.astype(np.float64)
    known = array[~np.isnan(array)]
    cuts = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1], method="higher") if known.size else np.empty(0)
    edges = np.unique(cuts[cuts > known.min()]) if known.size else cuts
    edges = _rounded(edges, known)
    code_N = np.where(np.isnan(array), -1, np.searchsorted(edges, array, side="right"))
    return SliceColumn(name, _labels(edges), code_N)


def _rounded(edges: FloatArray, known: FloatArray) -> FloatArray:
    """The edges to three digits, unless two of them, or one and the smallest value, would become one."""
    rounded = np.array([float(f"{edge:.3g}") for edge in edges])
    apart = rounded.size and rounded[0] > known.min() and rounded[-1] <= known.max() and (np.diff(rounded) > 0).all()
    return rounded if apart else edges


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _labels(edges: FloatArray) -> list[str]:
    if not edges.size:
        return ["any"]
    texts = [f"{edge:.6g}" for edge in edges]
    between = [f"{low} to <{high}" for low, high in pairwise(texts)]
    return [f"<{texts[0]}", *between, f"≥{texts[-1]}"]
