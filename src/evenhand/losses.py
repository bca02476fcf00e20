"""Losses that several methods share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from evenhand.groups import mean_per_group


def cross_entropy(logits_BC: Tensor, y_B: Tensor) -> Tensor:
    """(B,) cross-entropy of each row, in nats."""
    return F.cross_entropy(logits_BC, y_B, reduction="none")


def group_cross_entropy(logits_BC: Tensor, y_B: Tensor, group_B: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """(G,) mean cross-entropy within each group, 0 for an absent one, and (G,) the counts."""
    return mean_per_group(cross_entropy(logits_BC, y_B), group_B, n_groups)
