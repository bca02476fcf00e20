"""How far a group is told from the other classes by frozen features, and whether its errors look like wrong labels."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evenhand import collapse, metrics
from evenhand.collapse.neighbours import nearest_rows
from evenhand.collapse.pairs import majority_cosine, minority_cosine

from . import refits
from .rows import Rows

REPLICATES = 500  # of the bootstrap: the ends of a 95 % interval are each the 12th of them
NEIGHBOURS = 20  # the k that Caron et al. (2021) recommend for k-NN evaluation
CONFIDENT = 0.8  # share of the neighbours' weight for one other class that makes a label suspect
FEWEST = 10  # rows on either side below which ranks say nothing: the interval of an AUC is then wider than 0.35

_NORMAL = NormalDist()


class Estimate(NamedTuple):
    """A figure with its 95 % interval; NaN in an interval without limits where it is not known."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(float("nan"), -float("inf"), float("inf"))


class Means(NamedTuple):
    """Cosines of class means of training rows, and what nearest centres and neighbours say of validation rows.

    Attributes:
        sizes: (G,) training rows of each group, by which large and small are told.
        majority: between the largest groups of two classes, in [-1, 1]; see `evenhand.collapse.pairs`.
        minority: between the smallest.
        nearest: (G,) share of the rows whose nearest class mean is that of their class.
        agreement: (G,) mean share of the neighbours' weight that their own class has.
        suspect: (G,) share of the rows whose neighbours agree on another class.
    """

    sizes: Tensor
    majority: float
    minority: float
    nearest: Tensor
    agreement: Tensor
    suspect: Tensor


def means(train: Rows, val: Rows, count_G: Tensor) -> Means:
    """Class means and neighbours; neighbours have weights by which every group of training weighs the same."""
    split = train.split
    moments = collapse.Moments(train.features.shape[1], split.n_classes, split.n_attributes)
    moments.update(train.features, train.y, train.group)
    passed = collapse.RowPass(moments)
    passed.update(val.features, val.y, val.group)
    own_N, other_N = _votes(train, val)
    return Means(
        count_G,
        majority_cosine(moments, count_G),
        minority_cosine(moments, count_G),
        passed.nearest_accuracy("group"),
        mean_of_groups(own_N, val),
        mean_of_groups((other_N >= CONFIDENT).double(), val),
    )


def _votes(train: Rows, val: Rows) -> tuple[Tensor, Tensor]:
    """(N,) shares of the neighbours' weight for a row's own class, and for that of the others which has most."""
    _, row_NK = nearest_rows(train.features, val.features, min(NEIGHBOURS, len(train)))
    weight_M = refits.balancing(train.group, train.split.n_groups)
    vote_NC = weight_M.new_zeros(len(val), train.split.n_classes).scatter_add_(1, train.y[row_NK], weight_M[row_NK])
    vote_NC /= vote_NC.sum(1, keepdim=True)
    own_N = vote_NC.gather(1, val.y[:, None])[:, 0]
    return own_N, vote_NC.scatter(1, val.y[:, None], -1.0).amax(1)


def mean_of_groups(value_N: Tensor, rows: Rows) -> Tensor:
    """(G,) mean of each group; NaN without rows."""
    group_G = torch.zeros(rows.split.n_groups, dtype=torch.float64).index_add_(0, rows.group, value_N.double())
    return group_G / rows.split.count_G


def told_apart(logits_NC: Tensor, rows: Rows) -> Tensor:
    """(G,) AUC of telling the rows of each group from those of other classes with the same attribute, by refits."""
    auc_CA = metrics.one_vs_rest(
        metrics.auc_per_group,
        refits.margins(logits_NC).double().numpy(),
        rows.y.numpy(),
        rows.split.attribute.numpy(),
        rows.split.n_attributes,
    )
    return torch.from_numpy(auc_CA).flatten()


def less_separated(logits_NC: Tensor, rows: Rows, group: int) -> Estimate:
    """How much larger than the AUC of `told_apart` of a group that of its class's best other group is."""
    label, own = divmod(group, rows.split.n_attributes)
    score_N = refits.margins(logits_NC)[:, label]
    statistic = metrics.AUC(score_N.double().numpy(), (rows.y == label).numpy())
    attribute_N = rows.split.attribute.numpy()
    resampled = metrics.bootstrap(statistic, attribute_N, rows.split.n_attributes, replicates=REPLICATES, threads=1)
    others_A = np.where(np.arange(len(resampled.value)) == own, np.nan, resampled.value)
    if not np.isfinite(others_A).any():
        return UNKNOWN
    best = int(np.nanargmax(others_A))
    return estimated(resampled.reduce(lambda auc_RA: auc_RA[:, best] - auc_RA[:, own]))


class Within(NamedTuple):
    """Logits of rows with one attribute value, by a layer fitted to training rows with that value alone."""

    logits: Tensor  # (N, C)
    y: Tensor  # (N,)


def within(train: Rows, val: Rows, attribute: int) -> Within:
    """The sharpest linear view of the classes where the attribute has this value; classes have the same weight."""
    of_train = torch.nonzero(train.split.attribute == attribute).flatten()
    of_val = torch.nonzero(val.split.attribute == attribute).flatten()
    n_classes, y_M = train.split.n_classes, train.y[of_train]
    labelled = refits.Labelled(train.features[of_train], y_M, y_M, n_classes, n_classes)
    return Within(refits.transferred_logits(labelled, val.features[of_val]), val.y[of_val])


def auc_within(rows: Within, label: int) -> Estimate:
    """AUC of telling a class from the others."""
    return auc_interval(refits.margins(rows.logits)[:, label], rows.y == label)


def depth_of_errors(rows: Within, label: int) -> Estimate:
    """P(an error in this class lies deeper in another class's region than a right row of another class in its own).

    Depth is by how much the largest logit exceeds the next. Where classes overlap, errors lie near the border and few
    are deep: see `depth_of_overlap`. Rows with another class's label lie where that class lies: 0.5.
    """
    depth_N, guess_N = refits.margins(rows.logits).max(1)
    wrong_M = torch.nonzero((rows.y == label) & (guess_N != label)).flatten()
    opposite_M = torch.nonzero((rows.y != label) & (guess_N == rows.y)).flatten()
    if min(len(wrong_M), len(opposite_M)) < FEWEST:
        return UNKNOWN
    both = torch.cat([wrong_M, opposite_M])
    return auc_interval(depth_N[both], torch.arange(len(both)) < len(wrong_M))


def depth_of_overlap(auc: float) -> float:
    """`depth_of_errors` of two normal classes of one variance and equal weight that overlap so much.

    With centres d = sqrt(2) * inv_cdf(auc) apart, X about -d/2 and Y about d/2: P(X > Y > 0) / (P(X > 0) P(Y > 0)).
    0.5 where classes are not told apart at all, 0.34 for an AUC of 0.76, 0.20 for 0.92.
    """
    half = max(0.0, _NORMAL.inv_cdf(min(max(auc, 0.5), 1 - 1e-9))) / math.sqrt(2)
    y_P = torch.linspace(0, half + 8, 2001, dtype=torch.float64)
    density_P = torch.exp(-((y_P - half) ** 2) / 2) / math.sqrt(2 * math.pi)
    deeper_P = torch.special.ndtr(-(y_P + half))
    both = float(torch.trapezoid(density_P * deeper_P, y_P))
    return both / (_NORMAL.cdf(-half) * _NORMAL.cdf(half))


def excess_depth(rows: Within, label: int) -> Estimate:
    """`depth_of_errors` minus that of classes which overlap as much as this one does; above 0 suggests wrong labels.

    Each end of the interval takes the end of the AUC's interval that makes it wider.
    """
    depth, auc = depth_of_errors(rows, label), auc_within(rows, label)
    return Estimate(*(found - depth_of_overlap(told) for found, told in zip(depth, auc, strict=True)))


def mistaken_for(rows: Within, label: int) -> int:
    """The class that rows of this class are taken for most often."""
    count_C = torch.bincount(rows.logits[rows.y == label].argmax(1), minlength=rows.logits.shape[1])
    count_C[label] = -1
    return int(count_C.argmax())


def auc_interval(score_N: Tensor, positive_N: Tensor) -> Estimate:
    """AUC with its bootstrap interval; unknown where one of the two has no rows."""
    if not bool(positive_N.any()) or bool(positive_N.all()):
        return UNKNOWN
    statistic = metrics.AUC(score_N.double().numpy(), positive_N.numpy())
    one_N = np.zeros(len(score_N), dtype=np.int64)
    resampled = metrics.bootstrap(statistic, one_N, 1, replicates=REPLICATES, threads=1)
    return estimated(resampled.reduce(lambda auc_R1: auc_R1[:, 0]))


def estimated(resampled: metrics.Resampled) -> Estimate:
    """With the interval of its replicates, which has no width where they do not vary."""
    value = float(resampled.value)
    if np.isnan(value):
        return UNKNOWN
    low, high = resampled.interval()
    return Estimate(value, *(value if np.isnan(end) else float(end) for end in (low, high)))
