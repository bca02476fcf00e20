"""Gram products of many rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

LEAST_COLUMNS = 128  # below that, products are too small to be fast


def add_gram(total_DD: Tensor, rows_ND: Tensor) -> None:
    """Add `rows_ND.T @ rows_ND` to the blocks on and above the diagonal; the others are not needed and stay."""
    width = max(LEAST_COLUMNS, -(-len(total_DD) // 4))
    with exactly():
        for begin in range(0, len(total_DD), width):
            block = slice(begin, begin + width)
            total_DD[block, begin:] += rows_ND[:, block].T @ rows_ND[:, begin:]


def symmetric(upper_DD: Tensor) -> Tensor:
    """The whole of a symmetric matrix of which the part on and above the diagonal is known."""
    return upper_DD.triu() + upper_DD.triu(1).T


@contextmanager
def exactly() -> Iterator[None]:
    """Inside, products of float32 are of float32, whatever a training has allowed them to be."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
