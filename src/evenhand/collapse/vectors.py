"""NC2, convergence to a simplex equiangular tight frame: lengths and angles of class means, group means, weights.

Each takes any (K, D) vectors: for class means as seen from their centre, `moments.classes().centred_KD()`. Vectors of
NaN (cells without rows) are left out, and K counts the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


def lengths(vectors_KD: Tensor) -> Tensor:
    """(K,) Euclidean lengths."""
    length_K: Tensor = torch.linalg.vector_norm(vectors_KD, dim=1)
    return length_K


def cosines(vectors_KD: Tensor) -> Tensor:
    """(K, K) cosines in [-1, 1]; NaN for a vector of length 0 or of NaN."""
    unit_KD = vectors_KD / lengths(vectors_KD)[:, None]
    cosine_KK: Tensor = (unit_KD @ unit_KD.T).clamp(-1, 1)
    return cosine_KK


def equinorm(vectors_KD: Tensor, *, unbiased: bool = True) -> float:
    """Coefficient of variation of lengths (Papyan, Han and Donoho 2020, NC2): at least 0, 0 is equal lengths.

    Their code divides by K - 1 in the standard deviation; `unbiased=False` by K. NaN with fewer than two vectors.
    """
    norm_K = lengths(_defined(vectors_KD))
    return math.nan if len(norm_K) < 2 else float(norm_K.std(correction=int(unbiased)) / norm_K.mean())


def equiangularity(vectors_KD: Tensor) -> float:
    """Mean over ordered pairs of `|cosine + 1 / (K - 1)|` (Papyan, Han and Donoho 2020, NC2): 0 is a simplex.

    NaN with fewer than two vectors, or one of length 0.
    """
    vectors_KD = _defined(vectors_KD)
    K = len(vectors_KD)
    if K < 2:
        return math.nan
    return float((_pairs(cosines(vectors_KD)) + 1 / (K - 1)).abs().mean())


def structure_error(vectors_KD: Tensor) -> float:
    """Distance of the scaled Gram product to that of a simplex (Zhu et al. 2021, NC2): in [0, 2], 0 is a simplex.

        | V Vᵀ / |V Vᵀ| - (I - 1 / K) / sqrt(K - 1) |, with Frobenius norms

    Zhu et al. apply it to weights as they are, without a centre. NaN with fewer than two vectors, or all of length 0.
    """
    vectors_KD = _defined(vectors_KD)
    return simplex_error(vectors_KD @ vectors_KD.T)


def simplex_error(product_KK: Tensor) -> float:
    """Distance of a (K, K) product, scaled to Frobenius norm 1, to that of a simplex; NaN for K below 2."""
    K = len(product_KK)
    if K < 2:
        return math.nan
    simplex_KK = (torch.eye(K, dtype=product_KK.dtype, device=product_KK.device) - 1 / K) / math.sqrt(K - 1)
    return float(torch.linalg.norm(product_KK / torch.linalg.norm(product_KK) - simplex_KK))


class Spread(NamedTuple):
    """Mean and population variance over pairs; a variance of 0 is uniformity."""

    mean: float
    variance: float


def distances(vectors_KD: Tensor) -> Spread:
    """Of distances between vectors scaled to length 1, over pairs (nc-toolkit's GNC2 with the plain kernel)."""
    return _spread(_unit_distances(vectors_KD))


def log_inverse_distances(vectors_KD: Tensor) -> Spread:
    """Of `log(1 / distance)` between vectors scaled to length 1, over pairs (nc-toolkit's GNC2, logarithmic kernel)."""
    return _spread(-_unit_distances(vectors_KD).log())


def squared_distances(vectors_KD: Tensor) -> Tensor:
    """(K, K) squared distances, exactly 0 where they are below rounding."""
    centred_KD = vectors_KD - _defined(vectors_KD).mean(0)
    norm_K = centred_KD.square().sum(1)
    sum_KK = norm_K[:, None] + norm_K
    squared_KK = sum_KK - 2 * centred_KD @ centred_KD.T
    return torch.where(squared_KK <= 8 * torch.finfo(sum_KK.dtype).eps * sum_KK, 0 * sum_KK, squared_KK)


def _unit_distances(vectors_KD: Tensor) -> Tensor:
    vectors_KD = _defined(vectors_KD)
    unit_KD = vectors_KD / lengths(vectors_KD)[:, None]
    first_P, second_P = torch.triu_indices(len(unit_KD), len(unit_KD), 1, device=unit_KD.device)
    return squared_distances(unit_KD)[first_P, second_P].sqrt()


def _spread(values_P: Tensor) -> Spread:
    if len(values_P) == 0:
        return Spread(math.nan, math.nan)
    return Spread(float(values_P.mean()), float(values_P.var(correction=0)))


def _pairs(values_KK: Tensor) -> Tensor:
    """What is off the diagonal."""
    return values_KK[~torch.eye(len(values_KK), dtype=torch.bool, device=values_KK.device)]


def _defined(vectors_KD: Tensor) -> Tensor:
    return vectors_KD[~vectors_KD.isnan().any(1)]


def principal(offset_CD: Tensor) -> tuple[Tensor, Tensor]:
    """(D, R) orthonormal axes and (R,) non-zero eigenvalues of `offset_CD.T @ offset_CD`; R is at most C - 1."""
    C, D = offset_CD.shape
    if C < 2:
        return offset_CD.new_zeros(D, 0), offset_CD.new_zeros(0)
    wide = C <= D  # then the C × C product has the same eigenvalues
    value_K, axes_KK = torch.linalg.eigh(offset_CD @ offset_CD.T if wide else offset_CD.T @ offset_CD)
    rank = min(C - 1, D)
    value_R, axes_KR = value_K[-rank:], axes_KK[:, -rank:]
    kept_R = value_R > value_R[-1] * max(C, D) * torch.finfo(value_R.dtype).eps
    value_R, axes_KR = value_R[kept_R], axes_KR[:, kept_R]
    return (offset_CD.T @ axes_KR / value_R.sqrt() if wide else axes_KR), value_R
