"""NC1, variability collapse: how far rows lie from the mean of their class or group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .cells import Cells, Centre, nan_mean
from .moments import Moments
from .vectors import lengths, principal, squared_distances

if TYPE_CHECKING:
    from .rows import RowPass


def variance(cells: Cells, *, unbiased: bool = False) -> Tensor:
    """(K,) trace of the covariance of each cell's features; of groups, the `s_{y,a}` of Lu, Chai and Wang (2024).

        variance_K = spread_KD.sum(1) / count_K

    Section 3.1 divides by the rows; the authors' code by one less, which is `unbiased` and NaN for a single row. NaN
    without rows. Needs `Moments`.
    """
    divisor_K = cells.count_K - 1 if unbiased else cells.count_K
    return torch.where(divisor_K > 0, cells.spread_KD.sum(1) / divisor_K, torch.nan)


def variance_share(moments: Moments, *, unbiased: bool = False) -> Tensor:
    """(G,) variance of each group over that of all rows, as the code of Lu, Chai and Wang (2024) plots it.

    At least 0; `unbiased` (theirs) holds for both. NaN without rows. Needs `Moments`.
    """
    return variance(moments.groups(), unbiased=unbiased) / variance(moments.everything(), unbiased=unbiased)


def variance_norm(cells: Cells) -> Tensor:
    """(K,) Euclidean length of the vector of variances of each dimension: the diversity of a class's features.

    Cui et al. (2024), Classes are not equal, Figure 2(a). They do not say what is divided by: here the rows. Needs
    `Moments`.
    """
    return lengths(cells.spread_KD / cells.count_K[:, None])


def norm_spread(cells: Cells) -> Tensor:
    """(K,) standard deviation of the lengths of each cell's features over the rows; NaN without rows. Needs `Moments`.

    The mean length is `cells.norm_K`.
    """
    squared_K = cells.spread_KD.sum(1) / cells.count_K + cells.mean_KD.square().sum(1)
    return (squared_K - cells.norm_K.square()).clamp(min=0).sqrt()


def papyan(
    moments: Moments, *, rows: RowPass | None = None, centre: Centre = "classes", per_class: bool = True
) -> float:
    """Variance within classes as seen by the directions that tell class means apart: `tr(Σ_W Σ_B†)`, over C.

    Papyan, Han and Donoho (2020), Prevalence of neural collapse during the terminal phase of deep learning training,
    NC1, with the mean of class means as `centre`; Zhu et al. (2021), A geometric analysis of neural collapse with
    unconstrained features, have the mean of all rows.

        Σ_W = class_scatter_DD / N,   Σ_B = mean over classes of (mean_c - centre) (mean_c - centre)ᵀ

    At least 0; 0 is full collapse. `per_class=False` leaves out the division by C, as the code of Papyan et al. does.
    The pseudo-inverse has rank C - 1 at most. Classes without rows are left out; NaN with fewer than two, or where
    all means coincide. Needs `Moments(full=True)`, or any and a `RowPass` of the same rows, which is faster: it looks
    along these directions only.
    """
    classes = moments.classes().present()
    C = len(classes.count_K)
    if C < 2:
        return math.nan
    offset_CD = classes.centred_KD(centre) / math.sqrt(C)
    axes_DR, value_R = principal(offset_CD)
    if len(value_R) == 0:
        return math.nan
    along_R = _along_R(moments.class_scatter_DD(), axes_DR) if rows is None else rows.class_scatter_R(axes_DR)
    return float((along_R / classes.count_K.sum() / value_R).sum()) / (C if per_class else 1)


def _along_R(scatter_DD: Tensor, axes_DR: Tensor) -> Tensor:
    """What a scatter matrix has along each axis."""
    return ((scatter_DD @ axes_DR) * axes_DR).sum(0)


def quotient(moments: Moments, *, centre: Centre = "classes") -> float:
    """Variance within classes over variance between their means: `tr Σ_W / tr Σ_B` (nc-toolkit).

    At least 0; infinite where all means coincide. As `papyan` otherwise, but needs any `Moments`.
    """
    classes = moments.classes().present()
    if len(classes.count_K) < 2:
        return math.nan
    within = classes.spread_KD.sum() / classes.count_K.sum()
    return float(within / classes.centred_KD(centre).square().sum(1).mean())


def cdnv_pairs(cells: Cells) -> Tensor:
    """(K, K) class-distance normalised variance of every pair; NaN on the diagonal and without rows.

    Galanti, György and Hutter (2022), On the role of neural collapse in transfer learning, Section 3.

        pair_KK[i, j] = (variance_i + variance_j) / (2 * |mean_i - mean_j|²)

    At least 0; infinite where two means coincide. Needs `Moments`.
    """
    variance_K = variance(cells)
    pair_KK = (variance_K[:, None] + variance_K) / (2 * squared_distances(cells.mean_KD))
    return pair_KK.fill_diagonal_(torch.nan)


def cdnv(cells: Cells) -> float:
    """Mean over all pairs of `cdnv_pairs`; NaN with fewer than two cells that have rows."""
    return nan_mean(cdnv_pairs(cells))


def squared_distance(moments: Moments) -> Tensor:
    """(A,) mean squared distance of the rows of each attribute value to the mean of their class, over all its rows.

    The square of what Mouheb et al. (2024) measure (`RowPass.distance`), which needs no second pass. NaN without rows.
    Needs `Moments`.
    """
    groups, A = moments.groups(), moments.n_attributes
    apart_GD = groups.mean_KD - moments.classes().mean_KD.repeat_interleave(A, 0)
    sum_G = groups.spread_KD.sum(1) + groups.count_K * apart_GD.square().sum(1)
    return sum_G.nan_to_num(0).view(-1, A).sum(0) / groups.count_K.view(-1, A).sum(0)
