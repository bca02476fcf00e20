"""Clusters of each class."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.discovery.centres import Centres, class_centres
from evenhand.discovery.kinds._base import Fitted, Kind, Means, Placed, Rows


@dataclass(frozen=True)
class Clusters(Kind):
    """k-means of each class's features, as in George and BPA; a row's score is its own loss.

    Sohoni, Dunnmon, Angus, Gu and Re (2020), No subclass left behind; Seo, Lee and Han (2022), Unsupervised learning of
    debiased representations with pseudo-attributes. Distances are Euclidean. Rows of other splits go to the nearest
    centre of their class.

    Attributes:
        clusters: of each class, at least 1; none: from 2 to 10 by the silhouette, which takes few.
    """

    clusters: int | None = 8

    def fit(self, rows: Rows) -> Fitted:
        return _Nearest(rows, class_centres(rows, self.clusters, self.seed))


class _Nearest(Fitted):
    """A row is of the cluster whose centre is nearest."""

    def __init__(self, rows: Rows, centres: Centres) -> None:
        self.centres, self.names = centres, centres.names
        self.means = Means(rows, centres.nearest(rows)[0], len(centres.names))

    def place(self, rows: Rows) -> Placed:
        cluster_N, distance_N = self.centres.nearest(rows)
        return Placed(cluster_N, distance_N, self.means.scores(rows, cluster_N, distance_N))
