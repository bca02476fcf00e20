"""Features one can compute with by hand, and slow references in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand.collapse import Classifier, Moments

# The running example: three classes of two rows each in three dimensions.
FEATURES = torch.tensor([[2.0, 0, 0], [4, 0, 0], [0, 2, 0], [0, 4, 0], [0, 0, 1], [0, 0, 3]])
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
CLASSIFIER = Classifier.of(torch.diag(torch.tensor([1.0, 1, 2])), torch.tensor([0.0, 0, -4]))

# Two classes of two groups, each of two rows in two dimensions.
GROUPED = torch.tensor([[2.0, 0], [4, 0], [1, 1], [1, 3], [0, 2], [0, 4], [1, 2], [3, 2]])
GROUPS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])


def moments(
    features: Any, y: Any, group: Any = None, *, classes: int | None = None, attributes: int = 1, full: bool = True
) -> Moments:
    found = Moments(features.shape[1], classes or int(y.max()) + 1, attributes, full=full)
    found.update(features, y, group)
    return found


def example() -> Moments:
    return moments(FEATURES, LABELS)


def unbalanced() -> Moments:
    """The running example with its class 0 twice."""
    return moments(torch.cat([FEATURES[:2], FEATURES]), torch.cat([LABELS[:2], LABELS]))


def grouped() -> Moments:
    return moments(GROUPED, GROUPS // 2, GROUPS, attributes=2)


def simplex(classes: int, dimensions: int, seed: int = 0) -> Tensor:
    """(C, D) float64 unit vectors with cosines -1 / (C - 1), turned at random; D is at least C."""
    rng = torch.Generator().manual_seed(seed)
    turned_DC = torch.linalg.qr(torch.randn(dimensions, classes, generator=rng, dtype=torch.float64)).Q
    centred_CC = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return math.sqrt(classes / (classes - 1)) * centred_CC @ turned_DC.T


def rotation(dimensions: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(dimensions, dimensions, generator=rng, dtype=torch.float64)).Q


def clouds(
    rows: int,
    dimensions: int,
    classes: int,
    attributes: int = 1,
    *,
    seed: int = 0,
    offset: float = 0.0,
    apart: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (float64), labels and groups of normal clouds around means that are `apart`, all moved by `offset`."""
    rng = np.random.default_rng(seed)
    group_N = rng.integers(0, classes * attributes, rows)
    mean_GD = offset + apart * rng.normal(size=(classes * attributes, dimensions))
    return mean_GD[group_N] + rng.normal(size=(rows, dimensions)), group_N // attributes, group_N


def two_passes(features_ND: Any, cell_N: Any, n_cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (K, D), scatter (K, D, D) and mean length (K,) of each cell, cell by cell in float64."""
    features_ND = np.asarray(features_ND, dtype=np.float64)
    n_features = features_ND.shape[1]
    mean_KD = np.full((n_cells, n_features), np.nan)
    scatter_KDD = np.full((n_cells, n_features, n_features), np.nan)
    norm_K = np.full(n_cells, np.nan)
    for k in range(n_cells):
        rows = features_ND[np.asarray(cell_N) == k]
        if len(rows):
            mean_KD[k] = rows[0] + (rows - rows[0]).mean(0)
            scatter_KDD[k] = (rows - mean_KD[k]).T @ (rows - mean_KD[k])
            norm_K[k] = np.linalg.norm(rows, axis=1).mean()
    return mean_KD, scatter_KDD, norm_K
