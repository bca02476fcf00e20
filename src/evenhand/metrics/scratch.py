"""Buffers that each thread uses again and again: fresh memory costs more than the arithmetic that is done in it."""

import math
import threading

import numpy as np

from .counts import FloatArray, IntArray


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.named: dict[str, FloatArray] = {}


_buffers = _Buffers()


def scratch(name: str, *shape: int) -> FloatArray:
    """An array of any content, valid until this thread asks for the same name again; freed with the thread."""
    size = math.prod(shape)
    if name not in _buffers.named or _buffers.named[name].size < size:
        _buffers.named[name] = np.empty(size)
    return _buffers.named[name][:size].reshape(shape)


def take(name: str, value_RN: FloatArray, index_M: IntArray) -> FloatArray:
    """`value_RN[:, index_M]` in a scratch array; the index must be in range."""
    out = scratch(name, len(value_RN), index_M.size)
    return value_RN.take(index_M, axis=1, out=out, mode="clip")  # "raise" would copy


def running_sums(name: str, weight_RN: FloatArray) -> FloatArray:
    """Sum of the first 0, 1, …, n weights [R, n + 1], in a scratch array."""
    sums = scratch(name, len(weight_RN), weight_RN.shape[1] + 1)
    sums[:, 0] = 0
    np.cumsum(weight_RN, axis=1, out=sums[:, 1:])
    return sums


def dot(one_RN: FloatArray, other: FloatArray) -> FloatArray:
    """Row by row; not by BLAS, whose own threads would stand in the way of ours."""
    return np.asarray(np.einsum("...n,...n->...", one_RN, other))
