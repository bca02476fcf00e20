"""UniMix with the Bayias loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.methods._base import Method, State, loss_dtype, require_range
from evenhand.methods._classes import log_prior
from evenhand.methods._mixing import Level, Pairs, beta_draws, drawn_by_weight, mixed_logits
from evenhand.model import Model


class _Prior(State):
    def __init__(self, count_C: Tensor) -> None:
        super().__init__()
        self.count_C = nn.Buffer(count_C.clamp(min=1), persistent=False)
        self.shift_C = nn.Buffer(log_prior(count_C) + math.log(len(count_C)), persistent=False)
        self.epoch = nn.Buffer(torch.zeros_like(count_C[0]))


@dataclass(frozen=True)
class UniMix(Method):
    """Mixup whose partners and shares favour rare classes, with logits shifted by the class prior; needs no groups.

    Xu, Chai and Yuan (2021), Towards calibrated model for long-tailed visual recognition from prior perspective.

        partner_B = drawn within the batch with replacement, with probability proportional to n_j ** sampling_power
        share_B   = n_j / (n_i + n_j) + draw, minus 1 if above 1; draw ~ Beta(alpha, alpha), one a row
        shift_C   = log(share of each class in training) - log(1 / C)
        loss      = (share_B * cross_entropy(logits_BC + shift_C, y_B) + (1 - share_B) * the same with the partner's y)
                    .mean()

    n_i and n_j are the training rows of the classes of row and partner; a row may meet itself. Prediction takes the
    logits without shift, for classes that are equally frequent. A mixture has no single label: training figures of
    single rows, and so of groups, are not recorded.

    Attributes:
        alpha: above 0; the more, the nearer the shares are to n_j / (n_i + n_j) + .5, modulo 1.
        sampling_power: tau; 0 draws partners uniformly, below 0 rare classes more often. The authors have -.5 for
            CIFAR-10 and -.1 for CIFAR-100.
        prior_shift: the Bayias loss; False is plain cross-entropy.
        mix_epochs: epochs that mix, at least 0, before those that do not; none mixes in all (the authors: 200 of 200).
        level: "input"; "feature", what the encoder gives; or "auto": inputs, unless they are whole numbers (tokens).

    Raises:
        BadInput: an option outside its range, or integer inputs at level "input".

    Differs from the authors' code: classes without training rows count as one row; no epoch is selected on test.
    """

    alpha: float = 0.8
    sampling_power: float = -0.5
    prior_shift: bool = True
    mix_epochs: int | None = None
    level: Level = "auto"

    source = "https://github.com/XuZhengzhuo/Prior-LT"

    def __post_init__(self) -> None:
        require_range(self, "alpha", 0, above=True)
        if self.mix_epochs is not None:
            require_range(self, "mix_epochs", 0)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        return _Prior(split.count_C.to(loss_dtype(model)))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Prior)
        count_B = state.count_C[batch.y]
        partner_B = drawn_by_weight(count_B**self.sampling_power)
        draw_B = beta_draws(self.alpha, self.alpha, len(count_B)).to(count_B, non_blocking=True)
        share_B = rarer_share(count_B, count_B[partner_B], draw_B)
        if self.mix_epochs is not None:
            share_B = torch.where(state.epoch < self.mix_epochs, share_B, 1)
        pairs = Pairs(None, partner_B, share_B)
        logits_BC = mixed_logits(model, batch.x, pairs.mix, self.level)
        return pairs.mean_loss(logits_BC + state.shift_C if self.prior_shift else logits_BC, batch.y)

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Prior)
        state.epoch.add_(1)


def rarer_share(count_B: Tensor, other_B: Tensor, draw_B: Tensor) -> Tensor:
    """(B,) share of the first row, in [0, 1], of two classes with these training rows and a draw in [0, 1]."""
    share_B = other_B / (count_B + other_B) + draw_B
    return torch.where(share_B > 1, share_B - 1, share_B)
