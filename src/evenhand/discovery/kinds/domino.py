"""Slices of features, labels and predictions together: Domino."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from evenhand.discovery.kinds._base import Array, Fitted, Kind, Name, Placed, Rows
from evenhand.errors import BadInput
from evenhand.methods._clusters import k_means

SMALLEST = 1e-12  # share of a class in a component: its logarithm stays finite
VARIANCE = 1e-6  # added to every variance, as in scikit-learn


@dataclass(frozen=True)
class Domino(Kind):
    """A mixture in which features are Gaussian and labels and predictions categorical.

    Eyuboglu, Varma, Saab, Delbrouck, Lee-Messer, Dunnmon, Zou and Re (2022), Domino: discovering systematic errors with
    cross-modal embeddings, section 5.

        log p(z, y, q | s) = log N(z; mean_s, diag(variance_s)) + weight_y * log p_s[y] + weight_q * (q * log q_s).sum()

    for the features z on their first principal components and the model's probabilities q, fitted by EM. Components
    begin in the cells (label, predicted class) of the confusion matrix, each cell with about its share of them, and are
    told apart in it by k-means. A row is of the component that is likeliest; a component may hold rows of several
    classes. A row's score is `discrepancy`, the mean over components of the distance (total variation) between p_s and
    q_s: where it is large, predictions are systematically not what labels are. `group_error` is the mean of their
    shares of errors.

    Differs from the authors' code: no random start, and all components are shown.

    Attributes:
        components: at least 1, and no more than rows.
        weight_y: of the labels, at least 0; with 0 for both this is a Gaussian mixture.
        weight_prediction: of the predictions, at least 0.
        dimensions: most principal components, at least 1.
        steps: most of EM, at least 1.
        tolerance: EM ends where the mean log-likelihood of a row rises by less.

    Raises:
        BadInput: an option outside its range, or there are no predictions.
    """

    components: int = 25
    weight_y: float = 10.0
    weight_prediction: float = 10.0
    dimensions: int = 128
    steps: int = 100
    tolerance: float = 1e-3

    best_scores: ClassVar[tuple[str, ...]] = ("discrepancy",)
    needs_predictions: ClassVar[bool] = True

    def fit(self, rows: Rows) -> Fitted:
        if min(self.components, self.dimensions, self.steps) < 1:
            raise BadInput("components, dimensions and steps must be at least 1")
        if min(self.weight_y, self.weight_prediction, self.tolerance) < 0:
            raise BadInput("weight_y, weight_prediction and tolerance must be at least 0")
        if self.components > len(rows):
            raise BadInput(f"components must be no more than the {len(rows)} rows looked at, got {self.components}")
        return _Slices(rows, self)


class _Slices(Fitted):
    def __init__(self, rows: Rows, kind: Domino) -> None:
        self.axes = principal(rows.features, kind.dimensions)
        z_NE = self.axes.of(rows.features)
        start_NS = confusion_start(rows, z_NE, kind.components, kind.seed)
        weights = (kind.weight_y, kind.weight_prediction)
        seen = _Seen(z_NE, rows.y, softmax(rows.predicted.astype(np.float64), axis=1))
        self.mixture, share_NS = expectation_maximisation(seen, start_NS, weights, kind.steps, kind.tolerance)
        self.names = tuple(Name(None, f"slice {s + 1}") for s in range(kind.components))
        total_S = np.maximum(share_NS.sum(0), SMALLEST)
        self.error_S = rows.wrong @ share_NS / total_S
        self.loss_S = rows.loss @ share_NS / total_S

    def place(self, rows: Rows) -> Placed:
        z_NE = self.axes.of(rows.features)
        probability_NC = softmax(rows.predicted.astype(np.float64), axis=1)
        joint_NS = self.mixture.log_joint(_Seen(z_NE, rows.y, probability_NC))
        cluster_N = joint_NS.argmax(axis=1)
        share_NS = softmax(joint_NS, axis=1)
        mixture = self.mixture
        discrepancy_S = np.abs(mixture.label - mixture.prediction).sum(axis=1) / 2
        scale_NE = (z_NE - mixture.mean[cluster_N]) ** 2 / mixture.variance[cluster_N]
        distance_N = np.sqrt(scale_NE.mean(axis=1))
        scores = {
            "discrepancy": share_NS @ discrepancy_S,
            "loss": rows.loss,
            "group_loss": share_NS @ self.loss_S,
            "group_error": share_NS @ self.error_S,
            "distance": distance_N,
        }
        return Placed(cluster_N, distance_N, scores)


class _Seen(NamedTuple):
    z: Array  # (N, E)
    y: Array  # (N,)
    probability: Array  # (N, C) of the model


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal components: `mean` (D,) and `direction` (D, E)."""

    mean: Array
    direction: Array

    def of(self, x_ND: Array) -> Array:
        """(N, E) float64."""
        found: Array = (x_ND @ self.direction - self.mean @ self.direction).astype(np.float64)
        return found


def principal(x_ND: Array, most: int) -> Axes:
    """The first principal components; each direction's largest entry is positive."""
    mean_D = x_ND.mean(axis=0, dtype=np.float64)
    covariance_DD = np.zeros((x_ND.shape[1],) * 2)
    for start in range(0, len(x_ND), 8192):
        centred_BD = x_ND[start : start + 8192] - mean_D
        covariance_DD += centred_BD.T @ centred_BD
    _, vector_DD = np.linalg.eigh(covariance_DD)
    direction_DE = vector_DD[:, ::-1][:, : min(most, len(x_ND))]
    sign_E = np.sign(direction_DE[np.abs(direction_DE).argmax(axis=0), np.arange(direction_DE.shape[1])])
    dtype = x_ND.dtype
    return Axes(mean_D.astype(dtype), (direction_DE * sign_E).astype(dtype))


@dataclass(frozen=True, eq=False)
class Mixture:
    """S components.

    Attributes:
        share: (S,) of the rows.
        mean, variance: (S, E) of the features.
        label: (S, C) how often each class is the label.
        prediction: (S, C) mean probability that the model gives each class.
        weights: of label and prediction.
    """

    share: Array
    mean: Array
    variance: Array
    label: Array
    prediction: Array
    weights: tuple[float, float]

    def log_joint(self, seen: _Seen) -> Array:
        """(N, S) logarithm of the density of a row and a component together."""
        inverse_SE = 1 / self.variance
        square_NS = seen.z**2 @ inverse_SE.T - 2 * seen.z @ (self.mean * inverse_SE).T
        square_NS += (self.mean**2 * inverse_SE).sum(axis=1)
        constant_S = np.log(np.maximum(self.share, SMALLEST)) - 0.5 * np.log(2 * np.pi * self.variance).sum(axis=1)
        log_label, log_prediction = (np.log(np.maximum(p, SMALLEST)) for p in (self.label, self.prediction))
        categorical_NS = self.weights[0] * log_label.T[seen.y]
        categorical_NS += self.weights[1] * seen.probability @ log_prediction.T
        found: Array = constant_S - 0.5 * square_NS + categorical_NS
        return found


def fitted_to(seen: _Seen, share_NS: Array, weights: tuple[float, float]) -> Mixture:
    """The components that are likeliest when a row belongs to each with the share `share_NS`."""
    total_S = share_NS.sum(axis=0) + 10 * np.finfo(np.float64).eps
    mean_SE = share_NS.T @ seen.z / total_S[:, None]
    variance_SE = np.maximum(share_NS.T @ seen.z**2 / total_S[:, None] - mean_SE**2, 0) + VARIANCE
    label_SC = np.stack([share_NS[seen.y == c].sum(axis=0) for c in range(seen.probability.shape[1])], axis=1)
    prediction_SC = share_NS.T @ seen.probability
    return Mixture(
        total_S / total_S.sum(), mean_SE, variance_SE, label_SC / total_S[:, None], prediction_SC / total_S[:, None],
        weights,
    )  # fmt: skip


def expectation_maximisation(
    seen: _Seen, share_NS: Array, weights: tuple[float, float], steps: int, tolerance: float
) -> tuple[Mixture, Array]:
    """The mixture, begun with the components that `share_NS` gives, and each row's share of each component."""
    mixture, before = fitted_to(seen, share_NS, weights), -np.inf
    for _ in range(steps):
        joint_NS = mixture.log_joint(seen)
        total_N1 = logsumexp(joint_NS, axis=1, keepdims=True)
        share_NS = np.exp(joint_NS - total_N1)
        mixture, now = fitted_to(seen, share_NS, weights), float(total_N1.mean())
        if abs(now - before) < tolerance:
            break
        before = now
    return mixture, share_NS


def confusion_start(rows: Rows, z_NE: Array, components: int, seed: int) -> Array:
    """(N, S) 1 for the component in which a row begins.

    Each cell (label, predicted class) with rows has one component, the largest cells where they are too few for all;
    further ones go to the cells with the most rows a component. Rows of cells that have none begin in the largest cell.
    """
    cell_N = rows.y * rows.n_classes + rows.prediction
    cells, count = np.unique(cell_N, return_counts=True)
    order = np.argsort(-count, kind="stable")[:components]
    cells, count = cells[order], count[order]
    given = np.ones(len(cells), dtype=np.int64)
    for _ in range(components - len(cells)):
        given[(count / given).argmax()] += 1
    start_NS = np.zeros((len(rows), components))
    first = np.cumsum(given) - given
    start_NS[~np.isin(cell_N, cells), 0] = 1
    for cell, number, offset in zip(cells, given, first, strict=True):
        of_cell = np.flatnonzero(cell_N == cell)
        start_NS[of_cell, offset + k_means(z_NE[of_cell], int(number), seed)] = 1
    return start_NS
