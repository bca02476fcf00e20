"""Clusters of each class's rows in feature space: what methods that see no groups take for groups."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenhand.batch import Split
from evenhand.errors import RunFailed
from evenhand.model import Model, in_chunks

Array = NDArray[Any]
Metric = Literal["euclidean", "cosine"]

SEEDING_ROWS = 8192  # of a class: where it has more, the best of several seedings is found on so many, drawn at random
SEEDINGS = 5
STEPS = 30  # of k-means over all rows


def class_clusters(split: Split, model: Model, per_class: int, metric: Metric) -> Tensor:
    """(N,) int64 cluster `y * per_class + k` of each row, on the split's device: k-means of each class's features.

    Features are the encoder's in eval mode, without augmentation; for "cosine" they are scaled to length 1, where
    squared distances are 2 - 2 * cosine. A class with fewer rows than `per_class` has as many clusters as rows, and
    clusters may be empty. Draws come from torch's global generator: one number, which seeds every class.

    Raises:
        RunFailed: a feature is infinite or NaN.
    """
    seed = seed_from_torch()
    features_ND = features_in_memory(split, model, normalise=metric == "cosine")
    y_N = split.y.cpu().numpy()
    cluster_N = np.zeros(len(y_N), dtype=np.int64)
    for c in range(split.n_classes):
        rows = np.flatnonzero(y_N == c)
        cluster_N[rows] = c * per_class + k_means(features_ND[rows], per_class, seed)
    return torch.from_numpy(cluster_N).to(split.y.device)


def seed_from_torch() -> int:
    """A seed for scikit-learn from torch's global generator, which a run seeds."""
    return int(torch.randint(2**31 - 1, ()))


@torch.no_grad()
def features_in_memory(split: Split, model: Model, *, normalise: bool) -> Array:
    """(N, D) float32 features of all rows in eval mode, scaled to length 1 where wanted; no second copy is made.

    Raises:
        RunFailed: a feature is infinite or NaN.
    """
    features_ND, first = torch.empty(0, 0), 0
    with model.evaluating():
        for batch in in_chunks(split):
            chunk_BD = model.encoder(batch.x).float()
            if normalise:
                chunk_BD = torch.nn.functional.normalize(chunk_BD, dim=1)
            if not bool(torch.isfinite(chunk_BD).all()):
                raise RunFailed(f"clusters need finite features, got NaN or infinite ones in rows from {first} on")
            if first == 0:
                features_ND = torch.empty(len(split), chunk_BD.shape[1])
            features_ND[first : first + len(chunk_BD)] = chunk_BD
            first += len(chunk_BD)
    return features_ND.numpy()


def k_means(points_MD: Array, k: int, seed: int) -> Array:
    """(M,) cluster of each point, in 0..k-1, by Lloyd's algorithm from the best of several seedings.

    The same for the same seed on any number of threads: scikit-learn adds up a cluster's points in the order in which
    threads finish, so it is given one. `points_MD` is moved to its mean and back, not copied.
    """
    k = min(k, len(points_MD))
    if k <= 1:
        return np.zeros(len(points_MD), dtype=np.int64)
    from sklearn.cluster import KMeans

    with quietly_on_one_thread():
        few = len(points_MD) <= SEEDING_ROWS
        some_MD = points_MD if few else points_MD[some_rows(len(points_MD), SEEDING_ROWS, seed)]
        seeded = KMeans(k, n_init=SEEDINGS, random_state=seed, copy_x=False).fit(some_MD)
        if few:
            labels: Array = seeded.labels_
        else:
            labels = (
                KMeans(k, init=seeded.cluster_centers_, n_init=1, max_iter=STEPS, copy_x=False).fit(points_MD).labels_
            )
    return labels.astype(np.int64)


def some_rows(n_rows: int, n_wanted: int, seed: int) -> Array:
    """At most `n_wanted` of the rows, drawn without replacement, in order."""
    if n_rows <= n_wanted:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, n_wanted, replace=False))


@contextmanager
def quietly_on_one_thread() -> Iterator[None]:
    """Inside, scikit-learn has one thread and does not warn of fewer distinct points than clusters."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
