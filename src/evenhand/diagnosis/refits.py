"""Refits of a last layer on frozen features, each row judged by a fit that did not see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from evenhand import sampling
from evenhand.methods._last_layer import worst_accuracies
from evenhand.methods._logistic import Form, fit_l1_logistic

STRENGTHS = (10.0, 1.0, 0.1, 0.01)  # C of the L1 penalty to choose from: DFR's range, and one weaker for few features
TOLERANCE = 1e-4  # of the objective, as in DFR: the accuracy is settled long before
FOLDS = 5  # four fifths of the rows fit, which costs a fit little; ten would take twice as long


class Labelled(NamedTuple):
    """Rows to refit on. `group` is what is balanced: groups, or the classes themselves."""

    x: Tensor  # (N, D) features
    y: Tensor  # (N,) classes
    group: Tensor  # (N,)
    n_classes: int
    n_groups: int


class Fold(NamedTuple):
    """Rows that fit, and rows that this fit judges."""

    fit: Tensor
    judge: Tensor


def folds(label_N: Tensor, n_folds: int = FOLDS, seed: int = 0) -> list[Fold]:
    """Folds that share out the rows of every label; together they judge each row once."""
    order = torch.randperm(len(label_N), generator=Generator().manual_seed(seed))
    part = sampling.rank_within_label(label_N[order]) % n_folds
    return [Fold(order[part != k], order[part == k]) for k in range(n_folds)]


def balanced_logits(rows: Labelled, parts: Sequence[Fold]) -> Tensor:
    """(N, C) logits of last layers that are fitted with equal weight on every group; NaN for rows that none judges.

    As Kirichenko, Izmailov and Wilson (2023), Last layer re-training is sufficient for robustness to spurious
    correlations, but with weights in place of subsamples:

        minimise  C * n * mean over groups of (mean of log_loss in the group) + abs(weights).sum()

    for each fold, on its n rows. C is chosen in each: three quarters of its rows fit, the rest judge by worst-group
    accuracy, and then all fit. Features are scaled by the mean and variance of all rows, which need no labels.
    """
    rows = rows._replace(x=(rows.x - rows.x.mean(0)) / rows.x.std(0).clamp(min=1e-6))
    inner = [_quarter(rows.group, part.fit, seed) for seed, part in enumerate(parts)]
    candidates = _fitted(rows, [(part.fit, C) for part in inner for C in STRENGTHS])
    chosen = []
    for number, (part, within) in enumerate(zip(parts, inner, strict=True)):
        own = candidates[number * len(STRENGTHS) : (number + 1) * len(STRENGTHS)]
        judge = within.judge
        guess_NM = torch.stack([layer.logits(rows.x[judge]).argmax(1) for layer in own], 1)
        best = worst_accuracies(guess_NM, rows.y[judge], rows.group[judge], rows.n_groups).argmax()
        chosen.append((part.fit, STRENGTHS[int(best)]))
    logits_NC = rows.x.new_full((len(rows.y), rows.n_classes), torch.nan)
    for part, layer in zip(parts, _fitted(rows, chosen), strict=True):
        logits_NC[part.judge] = layer.logits(rows.x[part.judge])
    return logits_NC


def transferred_logits(rows: Labelled, judge_ND: Tensor) -> Tensor:
    """(N, C) as `balanced_logits`, of rows that one layer judges which is fitted on others."""
    n_fit, n_judged = len(rows.y), len(judge_ND)
    nothing_N = torch.zeros(n_judged, dtype=torch.int64)  # labels that no fit uses
    fold = Fold(torch.arange(n_fit), torch.arange(n_fit, n_fit + n_judged))
    y, group = torch.cat([rows.y, nothing_N]), torch.cat([rows.group, nothing_N])
    return balanced_logits(rows._replace(x=torch.cat([rows.x, judge_ND]), y=y, group=group), [fold])[n_fit:]


def margins(logits_NC: Tensor) -> Tensor:
    """(N, C) by how much the logit of each class exceeds the largest of all others."""
    two = logits_NC.topk(2, dim=1)
    is_first_NC = torch.zeros_like(logits_NC, dtype=torch.bool).scatter_(1, two.indices[:, :1], value=True)
    return logits_NC - torch.where(is_first_NC, two.values[:, 1:], two.values[:, :1])


class _Layer(NamedTuple):
    weight: Tensor  # (Q, D)
    bias: Tensor  # (Q,)

    def logits(self, features_ND: Tensor) -> Tensor:
        logits_NQ = features_ND @ self.weight.T + self.bias
        return torch.cat([-logits_NQ / 2, logits_NQ / 2], 1) if logits_NQ.shape[1] == 1 else logits_NQ


def _quarter(group_N: Tensor, rows: Tensor, seed: int) -> Fold:
    """Three quarters of the rows of every group fit, the others judge."""
    within = folds(group_N[rows], 4, seed)[0]
    return Fold(rows[within.fit], rows[within.judge])


def _fitted(labelled: Labelled, wanted: Sequence[tuple[Tensor, float]]) -> list[_Layer]:
    """A layer for each set of rows and strength, all at once."""
    x_ND, y_N, group_N, n_classes, n_groups = labelled
    used = torch.unique(torch.cat([rows for rows, _ in wanted]))
    weight_NS = x_ND.new_zeros(len(y_N), len(wanted))
    for s, (rows, _) in enumerate(wanted):
        weight_NS[rows, s] = balancing(group_N[rows], n_groups).to(x_ND)
    penalty_S = torch.tensor([1 / (C * len(rows)) for rows, C in wanted])
    form: Form = "binary" if n_classes == 2 else "softmax"
    found = fit_l1_logistic(
        x_ND[used], y_N[used], weight_NS[used], penalty_S, n_classes=n_classes, form=form, tolerance=TOLERANCE
    )
    return [_Layer(weight_QD, bias_Q) for weight_QD, bias_Q in zip(found.weight, found.bias, strict=True)]


def balancing(label_N: Tensor, n_labels: int) -> Tensor:
    """(N,) weights that sum to 1, and to the same for every label that has rows."""
    count_L = torch.bincount(label_N, minlength=n_labels)
    return 1 / (count_L[label_N] * (count_L > 0).sum()).double()
