"""Sums over the groups of a chunk of rows: fast in float32, as exact as float64 needs them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# So many rows are added up in the precision of the rows; what they give is added up in float64.
ROWS_A_SUM = 64


class Segments:
    """The rows of each of P groups that are present in a chunk of B rows.

    Attributes:
        group_P: (P,) int64, the groups that have rows, in order.
        count_P: (P,) int64, at least 1.
        own_B: (B,) int64 in 0..P-1, each row's place in `group_P`.
    """

    def __init__(self, group_B: Tensor, n_groups: int) -> None:
        count_G = torch.bincount(group_B, minlength=n_groups)
        self.group_P = torch.nonzero(count_G).flatten()
        self.count_P = count_G[self.group_P]
        place_G = torch.zeros_like(count_G)
        place_G[self.group_P] = torch.arange(len(self.group_P), device=group_B.device)
        self.own_B = place_G[group_B]
        self._order_B = torch.argsort(group_B, stable=True)
        end_P = self.count_P.cumsum(0)
        cuts = torch.arange(0, len(group_B), ROWS_A_SUM, device=group_B.device)
        self._begin_S = torch.unique(torch.cat([end_P - self.count_P, cuts]))
        self._owner_S = torch.searchsorted(end_P, self._begin_S, right=True)

    def first(self, values_BD: Tensor) -> Tensor:
        """(P, D) the first row of each group."""
        return values_BD.index_select(0, self._order_B[self.count_P.cumsum(0) - self.count_P])

    def sum(self, values_BD: Tensor) -> Tensor:
        """(P, D) float64 sums of the rows of each group."""
        # An embedding bag adds up the rows in the order of the groups without copying them into that order.
        part_SD = F.embedding_bag(self._order_B, values_BD, self._begin_S, mode="sum")
        total_PD = part_SD.new_zeros((len(self.group_P), values_BD.shape[1]), dtype=torch.float64)
        return total_PD.index_add_(0, self._owner_S, part_SD.double())

    def mean(self, values_BD: Tensor) -> Tensor:
        """(P, D) float64 means of the rows of each group."""
        return self.sum(values_BD) / self.count_P[:, None]
