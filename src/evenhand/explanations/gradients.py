"""Integrated gradients: what each input adds to a logit, on the way from a baseline to the row itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from evenhand.errors import BadInput

STEPS, MOST_STEPS = 50, 800
TOLERANCE = 0.01  # of the logit's difference, or of 1 where that is larger: by how much the scores may miss it
NUMBERS_AT_ONCE = 2**20  # inputs in a pass: points of paths times what a row has


class Integrated(NamedTuple):
    """Scores of B rows, which should add up to a difference of logits.

    Attributes:
        scores: (B, …) of each input.
        difference_B: (B,) the target's logit less that of the baseline.
        error_B: (B,) that less the sum of the scores.
    """

    scores: Tensor
    difference_B: Tensor  # noqa: N815
    error_B: Tensor  # noqa: N815


def check_installed() -> None:
    """Raise BadInput without captum."""
    try:
        import captum.attr  # noqa: F401
    except ImportError as error:
        raise BadInput(
            "what decides in a text or a row is found by the library captum: install the extra evenhand[explain]"
        ) from error


def integrated(
    forward: Callable[..., Tensor], given: Tensor, baseline: Tensor, targets_B: Tensor, *others: Tensor
) -> Integrated:
    """Scores of each input, by Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, equation 1.

        scores = (given - baseline) * mean over t in [0, 1] of d logit(baseline + t (given - baseline)) / d given

    The mean is a Gauss-Legendre sum of 50 steps; where the scores miss the logit's difference by more than 1 %, or
    0.01, of four times as many, up to 800.

    Args:
        forward: from inputs like `given`, and the `others` of these rows, to logits (B, C).
        given: (B, …) float.
        baseline: of the same shape.
        targets_B: (B,) int64.

    Raises:
        BadInput: captum is not installed.
    """
    check_installed()
    difference_B = _difference(forward, given, baseline, targets_B, others)
    scores, steps = torch.zeros_like(given), STEPS
    left_K = torch.arange(len(given), device=given.device)
    while len(left_K) and steps <= MOST_STEPS:
        rest = [each[left_K] for each in (given, baseline, targets_B, *others)]
        scores = scores.index_copy(0, left_K, _sum(forward, steps, *rest))
        error_B = difference_B - scores.flatten(1).sum(1)
        left_K = torch.nonzero(error_B.abs() > TOLERANCE * difference_B.abs().clamp(min=1)).flatten()
        steps *= 4
    return Integrated(scores, difference_B, difference_B - scores.flatten(1).sum(1))


def _sum(
    forward: Callable[..., Tensor], steps: int, given: Tensor, baseline: Tensor, targets_B: Tensor, *others: Tensor
) -> Tensor:
    from captum.attr import IntegratedGradients

    def total(x: Tensor, targets: Tensor, *others: Tensor) -> Tensor:
        # The gradient of the sum is that of each row, as rows do not know of each other: captum takes them in turn.
        return forward(x, *others).gather(1, targets[:, None]).sum(0)

    at_once = max(NUMBERS_AT_ONCE // max(given[0].numel(), 1), len(given))
    with torch.enable_grad():
        found: Tensor = IntegratedGradients(total).attribute(
            given, baseline, None, (targets_B, *others), n_steps=steps, internal_batch_size=at_once
        )
    return found.detach()


@torch.no_grad()
def _difference(
    forward: Callable[..., Tensor], given: Tensor, baseline: Tensor, targets_B: Tensor, others: tuple[Tensor, ...]
) -> Tensor:
    logit_B, without_B = (forward(x, *others).gather(1, targets_B[:, None])[:, 0] for x in (given, baseline))
    return logit_B - without_B
