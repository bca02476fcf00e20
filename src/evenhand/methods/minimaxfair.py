"""Min-max fairness as a game between a learner and group weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.groups import sum_per_group
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, State, groups_of, loss_dtype, require_groups, require_range
from evenhand.model import Model, in_chunks


class _Game(State):
    """L labels: groups or attribute values. `upweight_L` multiplies the loss of a row: N * weight / count."""

    def __init__(self, count_L: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.count_L = nn.Buffer(count_L.to(dtype), persistent=False)
        self.share_L = nn.Buffer(self.count_L / self.count_L.sum(), persistent=False)
        self.weight_L = nn.Buffer(self.share_L.clone())
        self.excess_L = nn.Buffer(torch.zeros_like(self.share_L))  # relaxed: the multipliers of the constraints
        self.upweight_L = nn.Buffer(torch.ones_like(self.share_L))
        self.round = nn.Buffer(self.share_L.new_zeros(()))


@dataclass(frozen=True)
class MinimaxFair(Method):
    """Minimises the error of the worst group: after every epoch, groups with larger error gain weight.

    Diana, Gill, Kearns, Kenthapadi and Roth (2021), Minimax group fairness, Algorithms 1 and 2, with one network that
    goes on learning.

        eta      = step_size * round ** -step_decay
        weight_L = weight_L * exp(eta * error_L), divided by its sum; at first the groups' shares of the rows
        relaxed:   excess_L = max(0, excess_L + eta * (error_L - max_error)), weight_L = share_L + excess_L
        loss     = (N * weight_L[group_B] / count_L[group_B] * cross_entropy(logits_BC, y_B)).mean()

    The first epoch is plain training. Errors are over the training rows, in eval mode. Groups without training rows
    have weight 0; a group missing from a batch adds nothing.

    Attributes:
        step_size: a, at least 0, for errors in [0, 1]; 0 is plain training.
        step_decay: b, at least 0; 0 keeps the step size.
        error: "zero_one" (share of wrong rows) or "log_loss" (mean cross-entropy, in nats).
        groups: "group" (class and attribute, as in the comparison of Lu, Chai and Wang 2024) or "attribute" (as in the
            authors' paper).
        max_error: gamma, at least 0, in the unit of `error`: the relaxed game, which minimises the mean error while no
            group's exceeds this; none is the min-max game.

    Raises:
        BadInput: no attributes or one value only, or an option outside its range.

    Differs from the authors' code: one network continued over epochs, not a new one (with one more layer) each round
    and their mixture at the end; minibatches; the weighted loss is not divided by N once more.
    """

    step_size: float = 1.0
    step_decay: float = 0.5
    error: Literal["zero_one", "log_loss"] = "zero_one"
    groups: Literal["group", "attribute"] = "group"
    max_error: float | None = None

    needs_groups = True
    source = "https://github.com/amazon-science/minimax-fair"

    def __post_init__(self) -> None:
        require_range(self, "step_size", 0)
        require_range(self, "step_decay", 0)
        if self.max_error is not None:
            require_range(self, "max_error", 0)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        count_GA = split.count_G.view(split.n_classes, split.n_attributes)
        return _Game(split.count_G if self.groups == "group" else count_GA.sum(0), loss_dtype(model))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Game)
        loss_B = cross_entropy(model(batch.x), batch.y)
        upweight_L = state.upweight_L / len(loss_B)
        return torch.dot(upweight_L.index_select(0, self._labels(batch, state)), loss_B)

    @torch.no_grad()
    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Game)
        total_L = torch.zeros_like(state.count_L)
        with model.evaluating():
            for batch in in_chunks(split):
                total_L += sum_per_group(
                    self._errors(model(batch.x), batch.y), self._labels(batch, state), len(total_L)
                )
        self.play(state, total_L / state.count_L.clamp(min=1))

    def play(self, state: State, error_L: Tensor) -> None:
        """One round: group weights, and with them the rows' weights, after the groups' errors (L) of an epoch."""
        assert isinstance(state, _Game)
        state.round.add_(1)
        eta = self.step_size * state.round**-self.step_decay
        if self.max_error is None:
            weight_L = (state.weight_L.log() + eta * error_L).softmax(0)
            # A weight that underflows to 0 would stay there for good.
            least = torch.finfo(weight_L.dtype).tiny
            state.weight_L.copy_(torch.where(state.share_L > 0, weight_L.clamp(min=least), 0))
        else:
            state.excess_L.add_(eta * (error_L - self.max_error)).clamp_(min=0)
            state.weight_L.copy_(state.share_L + state.excess_L)
        state.upweight_L.copy_(state.count_L.sum() * state.weight_L / state.count_L.clamp(min=1))

    def _errors(self, logits_BC: Tensor, y_B: Tensor) -> Tensor:
        if self.error == "log_loss":
            return cross_entropy(logits_BC, y_B)
        return (logits_BC.argmax(1) != y_B).to(torch.promote_types(logits_BC.dtype, torch.float32))

    def _labels(self, batch: Batch, state: _Game) -> Tensor:
        # Attributes are the lowest digit of a group: group = y * A + attribute.
        group_B = groups_of(batch, self)
        return group_B if self.groups == "group" else group_B % len(state.count_L)
