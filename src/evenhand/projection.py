"""Features of many dimensions as points on a plane, and how far to believe what the plane shows. NumPy in and out."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import numpy as np

from evenhand.errors import BadInput, unknown

Kind = Literal["umap", "tsne", "pca"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAMES = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}

LEAST = 5  # rows: with fewer there are no neighbourhoods to keep
NEIGHBOURS = 15  # of UMAP, as McInnes, Healy and Melville (2018)
PERPLEXITY = 30  # of t-SNE, as van der Maaten and Hinton (2008)
SMALL_SIDE = 128  # rows or features up to which a full singular value decomposition is the faster one

Array = np.ndarray[Any, Any]


def project(features_ND: Array, kind: Kind = "umap", *, seed: int = 0, n_dimensions: int = 2) -> Array:
    """(N, n_dimensions) float64: the rows as points, near each other where their features are.

    UMAP (McInnes, Healy and Melville 2018, UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction)
    and t-SNE (van der Maaten and Hinton 2008, Visualizing Data using t-SNE) keep neighbours and neither distances nor
    densities; PCA keeps the directions of largest variance, each with its largest loading positive. The same seed on
    one processor gives the same points.

    With fewer than five rows all kinds are PCA; rows that are all the same are all at the origin. The numbers of
    neighbours (15) and the perplexity (30) are lowered where there are few rows. Axes that are not there (fewer
    features than dimensions, in PCA) are 0.

    Raises:
        BadInput: no such kind, features that are not finite numbers in a table, fewer than one dimension, or for UMAP
            no umap-learn.
    """
    if kind not in KINDS:
        raise unknown("projection", kind, KINDS)
    if n_dimensions < 1:
        raise BadInput(f"a projection needs at least 1 dimension, got {n_dimensions}")
    centred_ND, scale = _centred(features_ND)
    if scale == 0:
        return np.zeros((len(centred_ND), n_dimensions))
    principal_NK = _principal(centred_ND, n_dimensions)
    if kind == "pca" or len(centred_ND) < LEAST:
        return principal_NK * scale
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    neighbours = _umap if kind == "umap" else _tsne
    with threadpool_limits(1), warnings.catch_warnings():  # sums of several threads differ from time to time
        warnings.simplefilter("ignore")
        return neighbours(centred_ND, principal_NK, seed)


def joint(
    first_ND: Array, last_ND: Array, kind: Kind = "umap", *, seed: int = 0, n_dimensions: int = 2
) -> tuple[Array, Array]:
    """Two sets of features of the same rows, such as of the first and the last epoch, each projected on its own.

    The second is turned and mirrored to lie as near to the first as it can (orthogonal Procrustes), so that what
    differs is not the orientation, which means nothing. Both are centred.

    Raises:
        BadInput: as `project`, or the two have different numbers of rows.
    """
    if len(first_ND) != len(last_ND):
        raise BadInput(f"two projections of the same rows need as many rows, got {len(first_ND)} and {len(last_ND)}")
    first_NK, last_NK = (project(each, kind, seed=seed, n_dimensions=n_dimensions) for each in (first_ND, last_ND))
    if len(first_NK) == 0:
        return first_NK, last_NK
    first_NK, last_NK = first_NK - first_NK.mean(0), last_NK - last_NK.mean(0)
    left_KK, _, right_KK = np.linalg.svd(last_NK.T @ first_NK)
    return first_NK, last_NK @ (left_KK @ right_KK)


def trustworthiness(features_ND: Array, points_NK: Array, *, n_neighbors: int = 10) -> float:
    """How many neighbours on the plane are neighbours among the features too, in [0, 1]; about 0.5 is chance.

    Venna and Kaski (2001), Neighborhood preservation in nonlinear projection methods: 1 less the mean rank that false
    neighbours have among the features, scaled. Below 0.9 groups that one sees may not be there. Fewer neighbours are
    asked for where N is at most twice `n_neighbors`; NaN with fewer than three rows. Memory is N² numbers.

    Raises:
        BadInput: features or points are not finite, or differ in rows.
    """
    if len(features_ND) != len(points_NK):
        raise BadInput(f"there are {len(features_ND)} rows of features and {len(points_NK)} points")
    features_ND, points_NK = _centred(features_ND)[0], _centred(points_NK)[0]
    n_neighbors = min(n_neighbors, (len(features_ND) - 1) // 2)
    if n_neighbors < 1:
        return float("nan")
    N, K = len(features_ND), n_neighbors
    near_NK = np.argpartition(_squared(points_NK), K - 1, axis=1)[:, :K]
    order_NN = np.argsort(_squared(features_ND), axis=1, kind="stable")
    rank_NN = np.empty_like(order_NN)
    np.put_along_axis(rank_NN, order_NN, np.arange(1, N + 1), axis=1)
    beyond = (np.take_along_axis(rank_NN, near_NK, axis=1) - K).clip(min=0).sum()
    return float(1 - 2 * beyond / (N * K * (2 * N - 3 * K - 1)))


def purity(features_ND: Array, kind_N: Array, *, n_neighbors: int = 10) -> float:
    """How much of a row's nearest neighbours are of its own kind, in [0, 1]: 1 is kinds apart, `chance` kinds mixed.

    The share among the `n_neighbors` rows nearest to it (Euclidean, without itself; all others where there are fewer),
    averaged over the rows of each kind and then over kinds, so that a frequent kind counts no more than a rare one. NaN
    with fewer than two rows.

    Raises:
        BadInput: features are not finite, or there are not as many kinds.
    """
    centred_ND, _ = _centred(features_ND)
    N, kind_N = len(centred_ND), np.unique(kind_N, return_inverse=True)[1]
    if len(kind_N) != N:
        raise BadInput(f"there are {N} rows of features and {len(kind_N)} kinds")
    K = min(n_neighbors, N - 1)
    if K < 1:
        return float("nan")
    near_NK = np.argpartition(_squared(centred_ND), K - 1, axis=1)[:, :K]
    alike_N = (kind_N[near_NK] == kind_N[:, None]).mean(1)
    return float((np.bincount(kind_N, alike_N) / np.bincount(kind_N)).mean())


def chance(kind_N: Array) -> float:
    """The `purity` to expect where neighbours are any rows; NaN with fewer than two rows."""
    count = np.unique(kind_N, return_counts=True)[1]
    return float("nan") if len(kind_N) < 2 else float(((count - 1) / (len(kind_N) - 1)).mean())


def _centred(features_ND: Array) -> tuple[Array, float]:
    """The features around their mean, divided by their largest distance to it along an axis, which is the second."""
    features_ND = np.asarray(features_ND)
    if features_ND.ndim != 2 or features_ND.dtype.kind not in "fiub":
        raise BadInput(
            f"features must be numbers in a table (N, D), got {features_ND.dtype} of shape {features_ND.shape}"
        )
    features_ND = features_ND.astype(np.float64)
    bad_N = ~np.isfinite(features_ND).all(1)
    if bad_N.any():
        raise BadInput(
            f"features must be finite: {bad_N.sum()} of {len(bad_N)} rows are not, the first is row {bad_N.argmax()}"
        )
    if features_ND.size == 0:
        return features_ND, 0.0
    largest = np.abs(features_ND).max() or 1.0
    centred_ND = features_ND / largest
    centred_ND -= centred_ND.mean(0)
    apart = np.abs(centred_ND).max()
    if apart <= 4 * np.finfo(np.float64).eps:  # what is left is rounding
        return np.zeros_like(centred_ND), 0.0
    return centred_ND / apart, float(apart * largest)


def _squared(centred_ND: Array) -> Array:
    """(N, N) squared distances; infinite from a row to itself."""
    length_N = (centred_ND**2).sum(1)
    squared_NN: Array = length_N[:, None] + length_N - 2 * centred_ND @ centred_ND.T
    np.fill_diagonal(squared_NN, np.inf)
    return squared_NN


def _principal(centred_ND: Array, n_dimensions: int) -> Array:
    """(N, n_dimensions) along the directions of largest variance."""
    N, D = centred_ND.shape
    if min(N, D) <= max(SMALL_SIDE, n_dimensions):
        _, _, axes_KD = np.linalg.svd(centred_ND, full_matrices=False)
        axes_KD = axes_KD[:n_dimensions]
    else:
        from scipy.sparse.linalg import svds

        start = np.random.default_rng(0).standard_normal(min(N, D))
        _, length_K, axes_KD = svds(centred_ND, k=n_dimensions, v0=start)
        axes_KD = axes_KD[np.argsort(-length_K)]
    largest_K = np.abs(axes_KD).argmax(1)
    axes_KD = axes_KD * np.sign(axes_KD[np.arange(len(axes_KD)), largest_K])[:, None]
    points_NK = np.zeros((N, n_dimensions))
    points_NK[:, : len(axes_KD)] = centred_ND @ axes_KD.T
    return points_NK


def _umap(centred_ND: Array, principal_NK: Array, seed: int) -> Array:
    try:
        import umap
    except ImportError as error:
        raise BadInput("a projection by UMAP needs umap-learn: pip install 'evenhand[explain]'") from error
    N, K = principal_NK.shape
    # Few rows have no spectrum to begin with.
    begin: Any = "spectral" if 4 * (K + 2) < N else _spread(principal_NK, 10.0, seed)
    reducer = umap.UMAP(
        n_components=K, n_neighbors=min(NEIGHBOURS, N - 1), init=begin, random_state=seed, n_jobs=1, verbose=False
    )
    return np.asarray(reducer.fit_transform(centred_ND.astype(np.float32)), dtype=np.float64)


def _tsne(centred_ND: Array, principal_NK: Array, seed: int) -> Array:
    from sklearn.manifold import TSNE

    N, K = principal_NK.shape
    reducer = TSNE(
        K, perplexity=min(PERPLEXITY, (N - 1) / 3), init=_spread(principal_NK, 1e-4, seed), random_state=seed,
        method="barnes_hut" if K < 4 else "exact", learning_rate="auto", n_jobs=1,
    )  # fmt: skip
    return np.asarray(reducer.fit_transform(centred_ND), dtype=np.float64)


def _spread(principal_NK: Array, size: float, seed: int) -> Array:
    """Principal components to begin with, of the given size along the first axis; equal rows a little apart."""
    noise_NK = np.random.default_rng(seed).standard_normal(principal_NK.shape)
    begin_NK: Array = size * (principal_NK / principal_NK[:, 0].std() + 1e-3 * noise_NK)
    return begin_NK.astype(np.float32)
