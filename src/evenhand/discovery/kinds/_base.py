"""`Kind`: a way of finding groups in features, labels and predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenhand.errors import BadInput

Array = NDArray[Any]
NO_CLUSTER = -1


@dataclass(frozen=True, eq=False)
class Rows:
    """What finding groups may look at: no group label is among it.

    Attributes:
        features: (N, D) float32.
        y: (N,) int64, class in 0..C-1.
        n_classes: C.
        logits: (N, C) of the model; None where there is none.
    """

    features: Array
    y: Array
    n_classes: int
    logits: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def predicted(self) -> Array:
        """(N, C) logits.

        Raises:
            BadInput: there is no model.
        """
        if self.logits is None:
            raise BadInput("this kind of discovery needs predictions: name a finished run in place of the data")
        return self.logits

    @cached_property
    def loss(self) -> Array:
        """(N,) cross-entropy of the model, in nats."""
        logits_NC = self.predicted.astype(np.float64)
        logits_NC = logits_NC - logits_NC.max(axis=1, keepdims=True)
        loss_N: Array = np.log(np.exp(logits_NC).sum(axis=1)) - logits_NC[np.arange(len(self)), self.y]
        return loss_N

    @cached_property
    def prediction(self) -> Array:
        """(N,) the class of the highest logit."""
        found: Array = self.predicted.argmax(axis=1)
        return found

    @cached_property
    def wrong(self) -> Array:
        """(N,) 1.0 where the prediction is not the label."""
        found: Array = (self.prediction != self.y).astype(np.float64)
        return found


class Name(NamedTuple):
    """What a cluster is called: its class, or None where it is of all classes, and a word."""

    label: int | None
    word: str


class Placed(NamedTuple):
    """Where rows were put.

    Attributes:
        cluster: (N,) int64 index into the clusters' names, -1 for a row of a class that was not there when fitting.
        distance: (N,) how far a row is from the middle of its cluster; the most typical have the least.
        scores: by name (N,), how likely a row is of a minority that the model serves badly: the higher, the likelier.
    """

    cluster: Array
    distance: Array
    scores: Mapping[str, Array]


class Fitted(ABC):
    """Clusters that were found, ready to take rows of any split."""

    names: tuple[Name, ...]

    @abstractmethod
    def place(self, rows: Rows) -> Placed:
        """The cluster and scores of each row."""


@dataclass(frozen=True)
class Kind(ABC):
    """A way of finding groups; its fields are its options.

    Attributes:
        seed: of everything that is drawn.
    """

    seed: int = 0

    best_scores: ClassVar[tuple[str, ...]] = ("loss", "distance")  # the first that there is, is the score of a row
    needs_predictions: ClassVar[bool] = False

    @abstractmethod
    def fit(self, rows: Rows) -> Fitted:
        """Find clusters in these rows.

        Raises:
            BadInput: an option that does not fit, or predictions are needed and there are none.
        """


class Means:
    """What the fitted rows of each cluster were like, to be told of all rows of it: L clusters.

    `group_loss` is their mean loss, `group_error` the share of them that is predicted wrongly, and `rarity` 1 minus
    their share of their class's rows.
    """

    def __init__(self, rows: Rows, cluster_N: Array, n_clusters: int) -> None:
        count_L = np.bincount(cluster_N, minlength=n_clusters)
        count_C = np.bincount(rows.y, minlength=rows.n_classes)
        class_L = np.zeros(n_clusters, dtype=np.int64)
        class_L[cluster_N] = rows.y
        self.by_name = {"rarity": 1 - count_L / np.maximum(count_C[class_L], 1)}
        if rows.logits is not None:
            for name, values_N in (("group_loss", rows.loss), ("group_error", rows.wrong)):
                sums_L = np.bincount(cluster_N, values_N, n_clusters)
                self.by_name[name] = sums_L / np.maximum(count_L, 1)

    def scores(self, rows: Rows, cluster_N: Array, distance_N: Array) -> dict[str, Array]:
        """Every score that follows from a row's cluster, its distance, and its own loss."""
        found = {name: _of_rows(values_L, cluster_N) for name, values_L in self.by_name.items()}
        own = {} if rows.logits is None else {"loss": rows.loss}
        return {**own, **found, "distance": distance_N}


def _of_rows(values_L: Array, cluster_N: Array) -> Array:
    return np.where(cluster_N == NO_CLUSTER, np.nan, values_L[cluster_N])
