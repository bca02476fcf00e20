"""Centres of clusters of each class, and the rows that are nearest to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenhand.discovery.kinds._base import NO_CLUSTER, Array, Name, Rows
from evenhand.errors import BadInput
from evenhand.methods._clusters import k_means, quietly_on_one_thread, some_rows

MOST_BY_SILHOUETTE = 10
MOST_ROWS = 2**16  # of a class, that decide where its centres are; k-means holds two copies of them
SILHOUETTE_ROWS = 2000  # of a class; the silhouette takes all their distances
NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Centres:
    """L centres, each of a class.

    Attributes:
        centre: (L, D) float32.
        label: (L,) int64, the class of each.
        names: the class and the number in it of each, from 1.
    """

    centre: Array
    label: Array
    names: tuple[Name, ...]

    def nearest(self, rows: Rows) -> tuple[Array, Array]:
        """(N,) the nearest centre of each row's own class, and (N,) the Euclidean distance to it."""
        cluster_N = np.full(len(rows), NO_CLUSTER, dtype=np.int64)
        distance_N = np.full(len(rows), np.nan)
        at_once = max(1, NUMBERS_AT_ONCE // max(rows.features.shape[1], 1))
        for c in range(rows.n_classes):
            own_L = np.flatnonzero(self.label == c)
            of_class = np.flatnonzero(rows.y == c)
            if not len(own_L):
                continue
            for start in range(0, len(of_class), at_once):
                some = of_class[start : start + at_once]
                square_BL = squared_distances(rows.features[some], self.centre[own_L])
                best_B = square_BL.argmin(axis=1)
                cluster_N[some] = own_L[best_B]
                distance_N[some] = np.sqrt(square_BL[np.arange(len(some)), best_B])
        return cluster_N, distance_N


def squared_distances(x_BD: Array, centre_LD: Array) -> Array:
    """(B, L) float64, at least 0; both are moved by the centres' mean first, against cancellation."""
    mean_D = centre_LD.mean(axis=0)
    x_BD, centre_LD = x_BD - mean_D, centre_LD - mean_D
    product_BL = (x_BD @ centre_LD.T).astype(np.float64)
    own_B, own_L = (np.einsum("nd,nd->n", v, v, dtype=np.float64) for v in (x_BD, centre_LD))
    found: Array = np.maximum(own_B[:, None] - 2 * product_BL + own_L, 0)
    return found


def class_centres(rows: Rows, per_class: int | None, seed: int) -> Centres:
    """k-means of each class's rows, or of 65 536 drawn from them; a class without rows has no centres.

    Args:
        per_class: clusters of each class; None: from 2 to 10 by the mean silhouette, for each class on its own.

    Raises:
        BadInput: fewer than 1.
    """
    check_clusters(per_class)
    centres, labels, names = [], [], []
    for c in np.unique(rows.y).tolist():
        of_class = np.flatnonzero(rows.y == c)
        some = of_class[some_rows(len(of_class), MOST_ROWS, seed)]
        of_class_KD = _centres_of(rows.features[some], per_class, seed)
        centres.append(of_class_KD)
        labels += [c] * len(of_class_KD)
        names += [Name(c, str(number + 1)) for number in range(len(of_class_KD))]
    return Centres(np.concatenate(centres), np.array(labels), tuple(names))


def _centres_of(x_MD: Array, per_class: int | None, seed: int) -> Array:
    """(K, D) means of the clusters of these rows; clusters without rows are left out."""
    found_M = k_means(x_MD, by_silhouette(x_MD, seed) if per_class is None else per_class, seed)
    means = [x_MD[found_M == k].mean(axis=0, dtype=np.float64) for k in np.unique(found_M)]
    return np.stack(means).astype(np.float32)


def by_silhouette(x_MD: Array, seed: int) -> int:
    """The number of clusters, from 2 to 10, with the highest mean silhouette (Rousseeuw 1987); of equal ones the least.

    Judged on at most 2000 rows. 1 where there are fewer than 3 different rows.
    """
    from sklearn.metrics import silhouette_score

    some_MD = x_MD[some_rows(len(x_MD), SILHOUETTE_ROWS, seed)]
    most = min(MOST_BY_SILHOUETTE, len(np.unique(some_MD, axis=0)) - 1)
    scores: dict[int, float] = {}
    for k in range(2, most + 1):
        found_M = k_means(some_MD, k, seed)
        with quietly_on_one_thread():
            scores[k] = float(silhouette_score(some_MD, found_M))
    return max(scores, key=lambda k: (scores[k], -k)) if scores else 1


def check_clusters(per_class: int | None) -> None:
    """Raise BadInput unless it is a number of clusters that there can be."""
    if per_class is not None and per_class < 1:
        raise BadInput(f"clusters of a class must be at least 1, got {per_class}")
