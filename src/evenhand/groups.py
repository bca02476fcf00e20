"""Reductions over groups: fixed shapes, no boolean masks, no host-device syncs."""

from __future__ import annotations

import torch
from torch import Tensor

# The count of a group without rows where it is a divisor: 0 / ABSENT is 0, and beside a single row it rounds away.
ABSENT = 1e-30


def sum_per_group(values: Tensor, group_B: Tensor, n_groups: int) -> Tensor:
    """(G, …) sum of `values` (B, …) within each group; 0 for a group without rows."""
    out = values.new_zeros((n_groups, *values.shape[1:]))
    return out.index_add(0, group_B, values)


def count_per_group(group_B: Tensor, n_groups: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(G,) rows of each group, as `dtype`."""
    return sum_per_group(torch.ones_like(group_B, dtype=dtype), group_B, n_groups)


def mean_per_group(values: Tensor, group_B: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """(G, …) mean of `values` (B, …) within each group, and (G,) the counts.

    A group without rows has mean 0 and count 0, so that it contributes nothing to a loss and no gradient.
    """
    count_G = count_per_group(group_B, n_groups, values.dtype)
    divisor_G = count_G.clamp(min=1).view(-1, *[1] * (values.ndim - 1))
    return sum_per_group(values, group_B, n_groups) / divisor_G, count_G
