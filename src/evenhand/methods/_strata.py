"""How many clusters the rows of a class have, and which: searched by silhouette, and split further where that helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evenhand.errors import BadInput
from evenhand.methods._clusters import Array, quietly_on_one_thread, some_rows

Clusterer = Literal["gmm", "kmeans"]
Reduction = Literal["none", "pca", "umap"]

FITTED_ROWS = 20_000  # of a class, drawn at random, by which clusters are fitted; all rows are then assigned
SCORED_ROWS = 5_000  # by which silhouettes are judged: they take every pair of rows
CHUNK = 16_384  # rows assigned at once
SEEDINGS = 3
SPLIT_INTO = 5  # parts of a cluster that are tried in over-clustering


@dataclass(frozen=True)
class Found:
    """Clusters of training points (M,) and of validation points (V,), in 0..k-1."""

    train: Array
    val: Array
    k: int


def reduced(points_MD: Array, val_VD: Array, how: Reduction, n_wanted: int, seed: int) -> tuple[Array, Array]:
    """Points of training and validation in at most `n_wanted` dimensions, by what the training points show.

    Raises:
        BadInput: UMAP is wanted and not installed.
    """
    n_wanted = min(n_wanted, *points_MD.shape)
    if how == "none":
        return points_MD, val_VD
    with quietly_on_one_thread():
        mapping: Any
        if how == "umap":
            mapping = _umap()(n_neighbors=10, min_dist=0.0, n_components=n_wanted, random_state=seed)
        else:
            from sklearn.decomposition import PCA

            mapping = PCA(n_wanted, svd_solver="covariance_eigh")
        points_MR = mapping.fit_transform(points_MD)
        return points_MR, mapping.transform(val_VD) if len(val_VD) else points_MR[:0]


def _umap() -> Any:
    try:
        from umap import UMAP
    except ImportError as error:
        raise BadInput(
            "reduction=umap of George needs the library umap-learn, which is not installed; choose pca"
        ) from error
    return UMAP


def searched(points_MR: Array, val_VR: Array, model: Clusterer, *, k: int | None, max_k: int, seed: int) -> Found:
    """Clusters of a class: `k`, or as many in 2..max_k as give the best mean over clusters of their mean silhouettes.

    Of equally good numbers the largest is taken. A class of one or two rows is one cluster.
    """
    if len(points_MR) < 3:
        return Found(np.zeros(len(points_MR), dtype=np.int64), np.zeros(len(val_VR), dtype=np.int64), 1)
    most = len(points_MR) - 1  # silhouettes need a cluster of two
    with quietly_on_one_thread():
        fit_FR = points_MR[some_rows(len(points_MR), FITTED_ROWS, seed)].astype(np.float64)
        score_SR = points_MR[some_rows(len(points_MR), SCORED_ROWS, seed)].astype(np.float64)
        numbers = range(2, min(max_k, most) + 1) if k is None else [min(k, most)]
        best, best_score = None, -np.inf
        for number in numbers:
            fitted = _fitted(model, number, fit_FR, seed)
            score = 0.0 if len(numbers) == 1 else _mean_of_means(score_SR, fitted.predict(score_SR))
            if score >= best_score:
                best, best_score = fitted, score
        assert best is not None
        train_M, val_V = _assigned(best, points_MR), _assigned(best, val_VR)
    present, train_M = np.unique(train_M, return_inverse=True)
    return Found(train_M.astype(np.int64), _renumbered(val_V, present), len(present))


def split_further(
    found: Found, points_MR: Array, val_VR: Array, loss_M: Array, model: Clusterer, *, most: int, seed: int
) -> Found:
    """Over-clustering: parts of clusters that are denser and harder than their cluster become clusters of their own.

    Every cluster is split into `SPLIT_INTO` parts; those that `keeps` tells stay, the others go back. At most `most`
    clusters result; parts found later go back.
    """
    scored = some_rows(len(points_MR), 2 * SCORED_ROWS, seed)
    before_M = _silhouettes(points_MR, found.train, scored)
    train_M, val_V = found.train * SPLIT_INTO, found.val * SPLIT_INTO
    with quietly_on_one_thread():
        for parent in range(found.k):
            rows, val_rows = np.flatnonzero(found.train == parent), np.flatnonzero(found.val == parent)
            if len(rows) <= SPLIT_INTO:
                continue
            own_MR = points_MR[rows]
            fit_FR = own_MR[some_rows(len(rows), FITTED_ROWS, seed)].astype(np.float64)
            fitted = _fitted(model, SPLIT_INTO, fit_FR, seed)
            train_M[rows] += _assigned(fitted, own_MR)
            val_V[val_rows] += _assigned(fitted, val_VR[val_rows])
    after_M = _silhouettes(points_MR, train_M, scored)
    return _kept(found, train_M, val_V, before_M=before_M, after_M=after_M, loss_M=loss_M, most=most)


def keeps(
    silhouette: float,
    before: float,
    loss: float,
    parent_loss: float,
    *,
    n_train: int,
    n_val: int,
    n_rows: int,
) -> bool:
    """Whether a part of a cluster becomes a cluster: denser than before, no easier than its cluster, and not small.

    `silhouette` is the mean over its points by the parts, `before` over the same points by the clusters; `n_train` of
    all `n_rows` training rows and `n_val` validation rows are its own.
    """
    dense = silhouette > max(before, 0)
    large = n_train >= max(0.005 * n_rows, 25) and n_val >= 25
    return dense and loss >= parent_loss and large


def _kept(
    found: Found, part_M: Array, part_V: Array, *, before_M: Array, after_M: Array, loss_M: Array, most: int
) -> Found:
    """Clusters after parts that are not kept have gone back to their clusters."""
    train_M, val_V, n = found.train.copy(), found.val.copy(), found.k
    for parent in range(found.k):
        parent_loss = float(loss_M[found.train == parent].mean())
        for part in range(parent * SPLIT_INTO, (parent + 1) * SPLIT_INTO):
            own_M, own_V = part_M == part, part_V == part
            if n == most or not np.isfinite(after_M[own_M]).any():
                continue
            if keeps(
                float(np.nanmean(after_M[own_M])),
                float(np.nanmean(before_M[own_M])),
                float(loss_M[own_M].mean()),
                parent_loss,
                n_train=int(own_M.sum()),
                n_val=int(own_V.sum()),
                n_rows=len(part_M),
            ):
                train_M[own_M], val_V[own_V] = n, n
                n += 1
    present, train_M = np.unique(train_M, return_inverse=True)
    return Found(train_M.astype(np.int64), _renumbered(val_V, present), len(present))


def _fitted(model: Clusterer, k: int, points_FR: Array, seed: int) -> Any:
    if model == "kmeans":
        from sklearn.cluster import KMeans

        return KMeans(k, n_init=SEEDINGS, random_state=seed).fit(points_FR)
    from sklearn.mixture import GaussianMixture

    # Relative to the points' own spread, because they may be of any scale, or all the same.
    least = 1e-6 * max(float(points_FR.var()), 1e-12)
    return GaussianMixture(k, n_init=SEEDINGS, random_state=seed, reg_covar=least).fit(points_FR)


def _assigned(fitted: Any, points_MR: Array) -> Array:
    """(M,) clusters, a chunk at a time, so that no second copy of the points is made."""
    starts = range(0, len(points_MR), CHUNK)
    found = [fitted.predict(points_MR[first : first + CHUNK].astype(np.float64)) for first in starts]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found]).astype(np.int64)


def _silhouettes(points_MR: Array, label_M: Array, scored: Array) -> Array:
    """(M,) silhouettes of the scored rows among each other, NaN for all other rows."""
    from sklearn.metrics import silhouette_samples

    out_M = np.full(len(points_MR), np.nan)
    labels = label_M[scored]
    if 1 < len(np.unique(labels)) < len(labels):
        with quietly_on_one_thread():
            out_M[scored] = silhouette_samples(points_MR[scored].astype(np.float64), labels)
    else:
        out_M[scored] = 0
    return out_M


def _mean_of_means(points_SR: Array, label_S: Array) -> float:
    """Mean over clusters of their points' mean silhouettes; -1 where there is one cluster only."""
    if not 1 < len(np.unique(label_S)) < len(label_S):
        return -1.0
    silhouette_S = _silhouettes(points_SR, label_S, np.arange(len(points_SR)))
    return float(np.mean([silhouette_S[label_S == label].mean() for label in np.unique(label_S)]))


def _renumbered(label_V: Array, present: Array) -> Array:
    """(V,) labels as places among those `present`; others, which no training row has, become 0."""
    place_V = np.searchsorted(present, label_V).clip(max=len(present) - 1)
    return np.where(present[place_V] == label_V, place_V, 0).astype(np.int64)
