"""What callers hand in, as tensors: NumPy arrays and tensors, checked."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenhand.errors import BadInput

Array = Tensor | NDArray[Any]


def tensor(values: Array) -> Tensor:
    """The same values without a copy where that can be, and without gradient; a memory map is not read."""
    if isinstance(values, Tensor):
        return values.detach()
    array = np.asarray(values)
    if any(stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nothing here writes to it
        return torch.from_numpy(array)


def table(name: str, values: Array, n_columns: int) -> Tensor:
    """(N, `n_columns`) numbers of any real dtype.

    Raises:
        BadInput: another shape, or not real numbers.
    """
    found = tensor(values)
    if found.ndim != 2 or found.shape[1] != n_columns:
        raise BadInput(f"{name} must have shape [N, {n_columns}], got {list(found.shape)}")
    if found.is_complex() or found.dtype == torch.bool:
        raise BadInput(f"{name} must be real numbers, got {found.dtype}")
    return found


def working(values: Tensor, device: torch.device) -> Tensor:
    """On `device` in the precision that is computed in: float64 stays, integers become float64, all else float32."""
    wide = values.dtype == torch.float64 or not values.is_floating_point()
    return values.to(device, torch.float64 if wide else torch.float32)


def indices(name: str, values: Array, n_rows: int, size: int, device: torch.device) -> Tensor:
    """(N,) int64 on `device`.

    Raises:
        BadInput: not integers, not as many as rows, or not in 0..size-1; the message names the first such row.
    """
    found = tensor(values)
    if found.ndim != 1 or len(found) != n_rows:
        raise BadInput(f"{name} must have one index for each of {n_rows} rows, got shape {list(found.shape)}")
    if n_rows and (found.is_floating_point() or found.is_complex()):
        raise BadInput(f"{name} must be integer indices 0..n-1, got {found.dtype}")
    found = found.to(device, torch.int64)
    if n_rows and not 0 <= int(found.min()) <= int(found.max()) < size:
        row = int(torch.nonzero((found < 0) | (found >= size))[0])
        raise BadInput(f"{name} must be in 0..{size - 1}, got {int(found[row])} in row {row}")
    return found


def groups(
    y_N: Array, group_N: Array | None, n_rows: int, n_classes: int, n_attributes: int, *, device: torch.device
) -> Tensor:
    """(N,) int64 groups `y * A + a`; without `group_N` there must be one attribute value, and the class is the group.

    Raises:
        BadInput: as `indices`, no groups where they are needed, or a group that is not one of its row's class.
    """
    label_N = indices("y", y_N, n_rows, n_classes, device)
    if group_N is None:
        if n_attributes > 1:
            raise BadInput(f"groups are needed where there are {n_attributes} attribute values, got none")
        return label_N
    found_N = indices("group", group_N, n_rows, n_classes * n_attributes, device)
    wrong_N = found_N // n_attributes != label_N
    if bool(wrong_N.any()):
        row = int(torch.nonzero(wrong_N)[0])
        raise BadInput(
            f"group must be y * {n_attributes} + attribute, got y {int(label_N[row])} and group {int(found_N[row])} "
            f"in row {row}"
        )
    return found_N


def sizes(**given: int) -> None:
    """Each must be at least 1.

    Raises:
        BadInput: one is not.
    """
    for name, size in given.items():
        if size < 1:
            raise BadInput(f"{name} must be at least 1, got {size}")
