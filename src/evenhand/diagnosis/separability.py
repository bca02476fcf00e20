"""How far a group is told from the other classes by frozen features, and whether its errors look like wrong labels."""

from __future__ import annotations

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
FEWEST = 10  # rows on either side below which ranks say nothing: the interval of an AUC is then wider than 0.4


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


def separation(logits_NC: Tensor, rows: Rows, group: int) -> tuple[Estimate, Estimate]:
    """The AUC of `told_apart` for a group, and how much larger that of its class's best other group is."""
    label, own = divmod(group, rows.split.n_attributes)
    score_N = refits.margins(logits_NC)[:, label]
    statistic = metrics.AUC(score_N.double().numpy(), (rows.y == label).numpy())
    resampled = metrics.bootstrap(
        statistic, rows.split.attribute.numpy(), rows.split.n_attributes, replicates=REPLICATES, threads=1
    )
    auc = _estimate(resampled.reduce(lambda auc_RA: auc_RA[:, own]))
    others = np.delete(resampled.value, own)
    if not np.isfinite(others).any():
        return auc, UNKNOWN
    best = np.arange(len(resampled.value))[np.arange(len(resampled.value)) != own][np.nanargmax(others)]
    return auc, _estimate(resampled.reduce(lambda auc_RA: auc_RA[:, best] - auc_RA[:, own]))


def depth_of_errors(logits_NC: Tensor, rows: Rows, group: int) -> Estimate:
    """P(an error in this group lies deeper in another class's region than a right row of that region), by refits.

    Depth is by how much the largest logit exceeds the next; the right rows are those of other classes with the same
    attribute. Where classes overlap, errors lie near the border and few are deep: below 0.35 for two normal classes of
    which 70 % can be told, lower for more. Rows with another class's label lie where that class lies: 0.5. A
    representation that tells the classes apart not at all has 0.5, too.
    """
    depth_N, guess_N = refits.margins(logits_NC).max(1)
    right_N = guess_N == rows.y
    label, attribute = divmod(group, rows.split.n_attributes)
    wrong_M = torch.nonzero((rows.group == group) & ~right_N).flatten()
    opposite_M = torch.nonzero(right_N & (rows.y != label) & (rows.split.attribute == attribute)).flatten()
    if min(len(wrong_M), len(opposite_M)) < FEWEST:
        return UNKNOWN
    both = torch.cat([wrong_M, opposite_M])
    return auc_interval(depth_N[both], torch.arange(len(both)) < len(wrong_M))


def auc_interval(score_N: Tensor, positive_N: Tensor) -> Estimate:
    """AUC with its bootstrap interval; unknown where one of the two has no rows."""
    if not bool(positive_N.any()) or bool(positive_N.all()):
        return UNKNOWN
    statistic = metrics.AUC(score_N.double().numpy(), positive_N.numpy())
    one_N = np.zeros(len(score_N), dtype=np.int64)
    resampled = metrics.bootstrap(statistic, one_N, 1, replicates=REPLICATES, threads=1)
    return _estimate(resampled.reduce(lambda auc_R1: auc_R1[:, 0]))


def _estimate(resampled: metrics.Resampled) -> Estimate:
    value = float(resampled.value)
    if np.isnan(value):
        return UNKNOWN
    low, high = resampled.interval()
    return Estimate(value, *(value if np.isnan(end) else float(end) for end in (low, high)))
