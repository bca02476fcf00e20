"""k nearest neighbours: what features tell about classes without any classifier."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from evenhand.errors import BadInput

from . import _checked
from ._checked import Array
from ._gram import exactly

Weighting = Literal["exp", "uniform"]
MEMORY_ROWS, PRODUCTS_AT_ONCE = 2**15, 2**24


@torch.no_grad()
def nearest_rows(
    memory_MD: Array, features_ND: Array, k: int = 20, *, exclude_self: bool = False, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """(N, k) cosines, largest first, and (N, k) int64 rows of `memory_MD` that are most similar to each feature.

    A feature of length 0 has cosine 0 with all. In blocks, so that memory grows with N * k only.

    Args:
        exclude_self: row n is not a neighbour of itself: `features_ND` are `memory_MD`.

    Raises:
        BadInput: shapes that do not fit, features that are not finite, or `k` not in 1..M (one less without itself).
    """
    n_features = memory_MD.shape[-1]
    memory = _checked.table("memory", memory_MD, n_features)
    features = _checked.table("features", features_ND, n_features)
    if exclude_self and len(memory) != len(features):
        raise BadInput(f"exclude_self needs features that are the memory, got {len(features)} and {len(memory)} rows")
    if not 1 <= k <= len(memory) - exclude_self:
        raise BadInput(f"k must be in 1..{len(memory) - exclude_self}, the rows there are, got {k}")
    device = torch.device(device)
    at_once = PRODUCTS_AT_ONCE // min(MEMORY_ROWS, len(memory))
    best_NK = torch.full((len(features), k), -torch.inf, device=device)
    row_NK = torch.zeros(len(features), k, dtype=torch.int64, device=device)
    for begin in range(0, len(memory), MEMORY_ROWS):
        block_MD = _unit("memory", memory[begin : begin + MEMORY_ROWS], begin, device)
        for first in range(0, len(features), at_once):
            x_BD = _unit("features", features[first : first + at_once], first, device)
            with exactly():
                cosine_BM = x_BD @ block_MD.T
            if exclude_self:
                _remove_self(cosine_BM, first - begin)
            here = slice(first, first + len(x_BD))
            best_BK, place_BK = cosine_BM.topk(min(k, len(block_MD)), dim=1)
            cosine_BK = torch.cat([best_NK[here], best_BK], 1)
            best_NK[here], kept_BK = cosine_BK.topk(k, dim=1)
            row_NK[here] = torch.cat([row_NK[here], place_BK + begin], 1).gather(1, kept_BK)
    return best_NK, row_NK


def vote(
    cosine_NK: Tensor,
    label_NK: Tensor,
    n_classes: int,
    *,
    weighting: Weighting = "exp",
    temperature: float = 0.07,
) -> Tensor:
    """(N, C) votes of each row's neighbours for their class.

    "exp": `exp(cosine / temperature)`, as DINO's code (Caron et al. 2021) weighs them, here relative to the nearest,
    which changes no prediction. "uniform": 1, the majority vote that Cui et al. (2024) describe, citing it.

    Raises:
        BadInput: another weighting, or a temperature not above 0.
    """
    if weighting not in ("exp", "uniform"):
        raise BadInput(f"weighting must be 'exp' or 'uniform', got {weighting!r}")
    if not temperature > 0:
        raise BadInput(f"temperature must be above 0, got {temperature}")
    weight_NK = torch.ones_like(cosine_NK)
    if weighting == "exp":
        weight_NK = ((cosine_NK - cosine_NK.amax(1, keepdim=True)) / temperature).exp()
    return weight_NK.new_zeros(len(label_NK), n_classes).scatter_add_(1, label_NK, weight_NK)


def knn(
    memory_MD: Array,
    memory_y_M: Array,
    features_ND: Array,
    n_classes: int,
    k: int = 20,
    *,
    weighting: Weighting = "exp",
    temperature: float = 0.07,
    exclude_self: bool = False,
    device: torch.device | str = "cpu",
) -> Tensor:
    """(N,) predicted classes: the class with most votes among the k nearest of `memory_MD` by cosine.

    Cui et al. (2024), Classes are not equal, Figure 5(c): if classes are unequal with it too, the classifier is not
    why. Equal votes go to the smaller class index. Needs features of two splits, or of one with `exclude_self`.

    Raises:
        BadInput: as `nearest_rows` and `vote`, or labels out of range.
    """
    label_M = _checked.indices("memory_y", memory_y_M, len(memory_MD), n_classes, torch.device(device))
    cosine_NK, row_NK = nearest_rows(memory_MD, features_ND, k, exclude_self=exclude_self, device=device)
    return vote(cosine_NK, label_M[row_NK], n_classes, weighting=weighting, temperature=temperature).argmax(1)


def _unit(name: str, rows: Tensor, begin: int, device: torch.device) -> Tensor:
    """Rows scaled to length 1, float32."""
    x_BD = rows.to(device, torch.float32)
    finite_B = x_BD.isfinite().all(1)
    if not bool(finite_B.all()):
        raise BadInput(f"{name} must be finite, but row {begin + int(torch.nonzero(~finite_B)[0])} is not")
    return F.normalize(x_BD, dim=1)


def _remove_self(cosine_BM: Tensor, offset: int) -> None:
    """Row b is row b + `offset` of this block, where that is in the block."""
    n_rows, n_columns = cosine_BM.shape
    first, last = max(0, -offset), min(n_rows, n_columns - offset)
    if first < last:
        row = torch.arange(first, last, device=cosine_BM.device)
        cosine_BM[row, row + offset] = -torch.inf
