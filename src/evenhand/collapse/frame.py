"""The simplex equiangular tight frame that is nearest to class means or to a classifier's weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Nearest(NamedTuple):
    """The frame nearest to K vectors.

    Attributes:
        frame_KD: (K, D) unit vectors with cosines -1 / (K - 1); NaN where the vector is.
        scale: the length of the frame's vectors that comes nearest, at least 0.
        distance: Frobenius distance of the scaled frame to the vectors, over the norm of the vectors, in [0, 1]; 0 for
            a frame.
    """

    frame_KD: Tensor  # noqa: N815
    scale: float
    distance: float


def nearest_frame(vectors_KD: Tensor) -> Nearest:
    """The simplex that a set of vectors is nearest to, up to rotation and scale: the orthogonal Procrustes solution.

        frame_KD = sqrt(K / (K - 1)) * basis_KR @ rotation_RD, where R = K - 1, the columns of `basis_KR` are
                   orthonormal and orthogonal to 1, and the rows of `rotation_RD` are orthonormal

    Schönemann (1966); Definition 1 of Cui et al. (2024), Classes are not equal, which needs D ≥ K - 1 (they print
    d ≤ K - 1). Vectors of NaN are left out; all is NaN with fewer than two vectors, or too few dimensions.
    """
    defined_K = ~vectors_KD.isnan().any(1)
    vectors, D = vectors_KD[defined_K].double(), vectors_KD.shape[1]
    K = len(vectors)
    frame_KD = torch.full_like(vectors_KD, torch.nan, dtype=torch.float64)
    if K < 2 or K - 1 > D:
        return Nearest(frame_KD, math.nan, math.nan)
    basis_KR = _orthogonal_to_ones(K).to(vectors)
    left_RR, value_R, right_RD = torch.linalg.svd(basis_KR.T @ vectors, full_matrices=False)
    frame_KD[defined_K] = math.sqrt(K / (K - 1)) * basis_KR @ left_RR @ right_RD
    scale = float(value_R.sum()) * math.sqrt(K / (K - 1)) / K
    distance = torch.linalg.norm(scale * frame_KD[defined_K] - vectors) / torch.linalg.norm(vectors)
    return Nearest(frame_KD, scale, float(distance))


def _orthogonal_to_ones(size: int) -> Tensor:
    """(K, K - 1) Helmert contrasts: orthonormal columns that each sum to 0."""
    row_K = torch.arange(size, dtype=torch.float64)[:, None]
    column_R = torch.arange(1, size, dtype=torch.float64)
    contrast_KR = torch.where(row_K < column_R, 1.0, torch.where(row_K == column_R, -column_R, 0.0))
    return contrast_KR / (column_R * (column_R + 1)).sqrt()
