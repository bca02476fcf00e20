"""Rows whose cluster is hard to tell: the observation of ClusterFix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax

from evenhand.discovery.centres import Centres, class_centres
from evenhand.discovery.kinds._base import NO_CLUSTER, Array, Fitted, Kind, Means, Placed, Rows
from evenhand.errors import BadInput
from evenhand.methods._clusters import quietly_on_one_thread

STEPS = 200  # of L-BFGS
AT_ONCE = 8192  # rows


@dataclass(frozen=True)
class Critical(Kind):
    """k-means of each class's features, and one linear head a class that learns to tell its clusters.

    Capitani, Bolelli, Porrello, Calderara and Ficarra (2024), ClusterFix: a cluster-based debiasing approach without
    protected-group supervision, section 1 (Observation) and Equation 8.

        cluster_loss_N = cross-entropy of each row's own cluster, by the head of its class
        weight_L       = (loss + gamma * cluster_loss).mean() of each cluster / size_L

    A row's score is its cluster loss; `weight`, that of its cluster, is another, without predictions of the cluster
    losses alone.

    Differs from the paper: features are frozen and heads linear, where the paper trains a network. A linear head tells
    k-means clusters of its own features almost perfectly, so the score mostly says how near a row is to the next
    cluster; judge it by data with known groups before trusting it.

    Attributes:
        clusters: of each class, at least 1; none: from 2 to 10 by the silhouette.
        gamma: weight of the cluster loss in `weight`, at least 0.
        penalty: of the squared weights of a head on standardised features, beside the mean loss; above 0.
    """

    clusters: int | None = 8
    gamma: float = 0.5
    penalty: float = 1e-2

    best_scores: ClassVar[tuple[str, ...]] = ("cluster_loss",)

    def fit(self, rows: Rows) -> Fitted:
        if self.gamma < 0 or self.penalty <= 0:
            raise BadInput(f"gamma must be at least 0 and penalty positive, got {self.gamma} and {self.penalty}")
        return _Heads(rows, class_centres(rows, self.clusters, self.seed), self)


class _Heads(Fitted):
    def __init__(self, rows: Rows, centres: Centres, kind: Critical) -> None:
        self.centres, self.names = centres, centres.names
        cluster_N, _ = centres.nearest(rows)
        n_clusters = len(centres.names)
        self.heads = {
            int(c): _head(rows.features[rows.y == c], cluster_N[rows.y == c], kind.penalty)
            for c in np.unique(centres.label)
        }
        self.means = Means(rows, cluster_N, n_clusters)
        loss_N = kind.gamma * self.cluster_loss(rows, cluster_N) + (0 if rows.logits is None else rows.loss)
        size_L = np.maximum(np.bincount(cluster_N, minlength=n_clusters), 1)
        self.means.by_name["weight"] = np.bincount(cluster_N, loss_N, n_clusters) / size_L / size_L

    def cluster_loss(self, rows: Rows, cluster_N: Array) -> Array:
        """(N,) cross-entropy of each row's cluster by the head of its class, in nats; 0 where there is one cluster."""
        found_N = np.where(cluster_N == NO_CLUSTER, np.nan, 0.0)
        for c, head in self.heads.items():
            of_class = np.flatnonzero(rows.y == c)
            for start in range(0, len(of_class) if head else 0, AT_ONCE):
                some = of_class[start : start + AT_ONCE]
                logit_BK = head.decision_function(rows.features[some])
                if logit_BK.ndim == 1:  # of two clusters, how much more likely the second is
                    logit_BK = np.stack([np.zeros_like(logit_BK), logit_BK], axis=1)
                own_B = np.searchsorted(head.classes_, cluster_N[some])
                found_N[some] = -log_softmax(logit_BK, axis=1)[np.arange(len(some)), own_B]
        return found_N

    def place(self, rows: Rows) -> Placed:
        cluster_N, distance_N = self.centres.nearest(rows)
        scores = {"cluster_loss": self.cluster_loss(rows, cluster_N)}
        return Placed(cluster_N, distance_N, scores | self.means.scores(rows, cluster_N, distance_N))


def _head(x_MD: Array, cluster_M: Array, penalty: float) -> Any:
    """Logistic regression of the cluster on standardised features; None where there is only one.

    `x_MD` is written into.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(cluster_M)) < 2:
        return None
    regression = LogisticRegression(C=1 / (2 * penalty * len(x_MD)), max_iter=STEPS)
    with quietly_on_one_thread():
        return make_pipeline(StandardScaler(copy=False), regression).fit(x_MD, cluster_M)
