"""Weights, priors and losses of methods that treat classes by how frequent or how hard they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from evenhand.losses import at_least_single


def effective_number(count_C: Tensor, beta: float) -> Tensor:
    """(C,) effective number of rows (1 - beta ** count_C) / (1 - beta); counts may be fractions.

    It is 1 for `beta` 0 and `count_C` for `beta` 1; 0 for a class without rows.
    """
    if beta == 1:
        return count_C
    number_C = (
        torch.ones_like(count_C) if beta == 0 else -torch.expm1(count_C * count_C.new_tensor(beta).log()) / (1 - beta)
    )
    return torch.where(count_C > 0, number_C, 0)


def class_balanced_weights(count_C: Tensor, beta: float) -> Tensor:
    """(C,) weights proportional to 1 / effective_number, with mean 1 over the classes that have rows, else 0."""
    number_C = effective_number(count_C.double(), beta)
    weight_C = torch.where(number_C > 0, 1 / number_C, 0)
    return (weight_C * ((number_C > 0).sum() / weight_C.sum())).to(count_C.dtype)


def log_prior(count_C: Tensor, least: float = 1.0) -> Tensor:
    """(C,) log of each class's share of all rows; a class with fewer rows than `least` counts as having so many."""
    filled_C = count_C.clamp(min=least)
    return (filled_C / filled_C.sum()).log()


def softmax_focal(logits_BC: Tensor, y_B: Tensor, gamma: float) -> Tensor:
    """(B,) cross-entropy of each row times (1 - p_y) ** gamma, in nats."""
    log_p_BC = at_least_single(logits_BC).log_softmax(1)
    loss_B = -log_p_BC.gather(1, y_B[:, None]).squeeze(1)
    if gamma == 0:
        return loss_B
    # log(1 - p_y) from the other classes: the difference 1 - p_y loses all digits where p_y is near 1.
    log_rest_B = log_p_BC.scatter(1, y_B[:, None], -torch.inf).logsumexp(1)
    return (gamma * log_rest_B).exp() * loss_B


def sigmoid_focal(logits_BC: Tensor, y_B: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """(B,) sum over the classes of binary cross-entropies times (1 - p of what is true) ** gamma, in nats.

    With `alpha`, the term of the row's own class counts `alpha` and those of all others 1 - `alpha`.
    """
    logits_BC = at_least_single(logits_BC)
    own_BC = torch.zeros_like(logits_BC).scatter(1, y_B[:, None], 1.0)
    signed_BC = logits_BC * (2 * own_BC - 1)
    loss_BC = -F.logsigmoid(signed_BC)
    if gamma != 0:
        loss_BC = (gamma * F.logsigmoid(-signed_BC)).exp() * loss_BC
    if alpha is not None:
        loss_BC = loss_BC * (1 - alpha + (2 * alpha - 1) * own_BC)
    return loss_BC.sum(1)
