"""Clusters in which the model errs more than in the rest of their class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evenhand.discovery.centres import Centres, class_centres
from evenhand.discovery.kinds._base import NO_CLUSTER, Array, Fitted, Kind, Means, Name, Placed, Rows
from evenhand.errors import BadInput
from evenhand.metrics import holm

REST = "rest"


@dataclass(frozen=True)
class Errors(Kind):
    """Small clusters of each class's features; those with more than their share of the class's errors stay.

    All others are one group, the rest of their class. A cluster stays if it has more errors than a random draw of as
    many rows of its class would have (Fisher's exact test, one-sided, over all clusters corrected by Holm). That is a
    statement on the rows looked at, given the clusters, which were found without a look at the errors. A row's score is
    the share of errors in its cluster.

    Attributes:
        clusters: of each class, at least 1; none: from 2 to 10 by the silhouette.
        level: of the test, in (0, 1).

    Raises:
        BadInput: the model makes no error on the rows looked at, or there are no predictions.
    """

    clusters: int | None = 16
    level: float = 0.05

    best_scores: ClassVar[tuple[str, ...]] = ("group_error",)
    needs_predictions: ClassVar[bool] = True

    def fit(self, rows: Rows) -> Fitted:
        if not 0 < self.level < 1:
            raise BadInput(f"level must lie in (0, 1), got {self.level}")
        if not rows.wrong.any():
            raise BadInput(
                "the model makes no error on the rows looked at, so no group can have more than its share; look at "
                "rows that it was not trained on (--fit val), or choose another kind"
            )
        return _Slices(rows, class_centres(rows, self.clusters, self.seed), self.level)


class _Slices(Fitted):
    def __init__(self, rows: Rows, centres: Centres, level: float) -> None:
        self.centres = centres
        cluster_N, _ = centres.nearest(rows)
        self.means = Means(rows, cluster_N, len(centres.names))
        stays_L = holm(p_values(rows, cluster_N, centres.label)) <= level
        kept = np.flatnonzero(stays_L)
        rests = [c for c in range(rows.n_classes) if (~stays_L & (centres.label == c)).any()]
        self.names = (*(centres.names[cluster] for cluster in kept), *(Name(c, REST) for c in rests))
        rest_C = np.full(rows.n_classes, NO_CLUSTER)
        rest_C[rests] = len(kept) + np.arange(len(rests))
        self.group_L = rest_C[centres.label]
        self.group_L[kept] = np.arange(len(kept))

    def place(self, rows: Rows) -> Placed:
        cluster_N, distance_N = self.centres.nearest(rows)
        group_N = np.where(cluster_N == NO_CLUSTER, NO_CLUSTER, self.group_L[cluster_N])
        return Placed(group_N, distance_N, self.means.scores(rows, cluster_N, distance_N))


def p_values(rows: Rows, cluster_N: Array, class_L: Array) -> Array:
    """(L,) probability that a random draw of as many rows of its class has at least as many errors as the cluster."""
    from scipy.stats import hypergeom

    n_clusters = len(class_L)
    size_L, wrong_L = np.bincount(cluster_N, minlength=n_clusters), np.bincount(cluster_N, rows.wrong, n_clusters)
    size_C = np.bincount(rows.y, minlength=rows.n_classes)
    wrong_C = np.bincount(rows.y, rows.wrong, rows.n_classes)
    found: Array = hypergeom.sf(wrong_L - 1, size_C[class_L], wrong_C[class_L], size_L)
    return np.clip(found, 0, 1)
