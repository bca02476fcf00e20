"""Group distributionally robust optimisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import ABSENT
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, State, groups_of, loss_dtype, require_groups, require_range
from evenhand.model import Model


class _Weights(State):
    def __init__(self, count_G: Tensor, adjustment_G: Tensor | None) -> None:
        super().__init__()
        zero_G = torch.zeros_like(count_G)
        self.log_weight_G = nn.Buffer(zero_G.masked_fill(count_G == 0, -torch.inf))  # up to a constant
        self.average_G = nn.Buffer(zero_G.clone())  # cvar: running mean loss
        self.seen_G = nn.Buffer(zero_G.clone())  # cvar: 1 from the group's first batch on
        self.share_G = nn.Buffer(count_G / count_G.sum(), persistent=False)
        self.adjustment_G = None if adjustment_G is None else nn.Buffer(adjustment_G, persistent=False)
        self.zero_G = nn.Buffer(zero_G, persistent=False)
        self.absent_G = nn.Buffer(zero_G + ABSENT, persistent=False)

    @property
    def weight_G(self) -> Tensor:
        """(G,) the weights, summing to 1; 0 for a group without training rows."""
        return self.log_weight_G.softmax(0)


@dataclass(frozen=True)
class GroupDRO(Method):
    """Minimises the loss of the worst group: weights that grow exponentially with each group's loss.

    Sagawa, Koh, Hashimoto and Liang (2020), Distributionally robust neural networks for group shifts, Algorithm 1.

        loss_G   = mean_per_group(cross_entropy(logits_BC, y_B)) + adjustment / sqrt(count_G)
        weight_G = weight_G * exp(step_size * loss_G), divided by its sum; remembered; constant for the gradient
        loss     = (weight_G * loss_G).sum()

    A group missing from a batch has cross-entropy 0, so its weight shrinks by normalisation only (its adjustment still
    counts). A group without training rows has weight 0.

    Attributes:
        step_size: per batch, at least 0; 0 keeps all groups equal.
        adjustment: C, at least 0, for all groups or one value each; favours small groups; 0 is off. All or nothing: if
            any group's value is 0, none is adjusted.
        balanced_batches: draw rows with replacement so that every group has the same expected share.
        objective: "dro", or "cvar": all weight on the worst groups that make up `alpha` of the training rows, by a
            running mean of their losses (plus adjustment); `step_size` is then unused.
        alpha: for cvar, in (0, 1]; 1 weights groups by their size, as plain training does.
        ema: for cvar, weight of the newest loss in the running mean, in [0, 1]; the first loss counts in full.
        min_variance: for cvar, in [0, 1]: how far the weights move towards the groups' sizes; 1 is plain training.

    Raises:
        BadInput: no attributes or one value only, an option outside its range, or not one adjustment for each group.

    Differs from the authors' code: weights are kept as logarithms, which cannot overflow; groups without training rows
    get no weight; the automatic adjustment, which crashes there, is left out.
    """

    step_size: float = 0.01
    adjustment: float | tuple[float, ...] = 0.0
    balanced_batches: bool = False
    objective: Literal["dro", "cvar"] = "dro"
    alpha: float = 0.2
    ema: float = 0.1
    min_variance: float = 0.0

    needs_groups = True
    source = "https://github.com/kohpangwei/group_DRO"

    def __post_init__(self) -> None:
        require_range(self, "step_size", 0)
        require_range(self, "alpha", 0, 1, above=True)
        require_range(self, "ema", 0, 1)
        require_range(self, "min_variance", 0, 1)
        values = self.adjustment if isinstance(self.adjustment, tuple) else (self.adjustment,)
        if not values or min(values) < 0:
            raise BadInput(f"adjustment of GroupDRO must be at least 0, got {self.adjustment}")

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        count_G = split.count_G.to(loss_dtype(model))
        return _Weights(count_G, self._adjustment(count_G))

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        if not self.balanced_batches:
            return super().batches(split, state, size, rng)
        weights_N = sampling.balancing_weights(split.group, split.count_G)
        return sampling.in_batches(sampling.weighted(weights_N, len(split), rng), size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Weights)
        group_B = groups_of(batch, self)
        loss_B = cross_entropy(model(batch.x), batch.y)
        constant_B = loss_B.detach()
        count_G = state.absent_G.index_add(0, group_B, torch.ones_like(constant_B))
        loss_G = state.zero_G.index_add(0, group_B, constant_B) / count_G
        if self.objective == "cvar":
            weight_G = self._tail(loss_G, count_G, state)
        else:
            if state.adjustment_G is not None:
                loss_G = loss_G + state.adjustment_G
            weight_G = state.log_weight_G.add_(loss_G, alpha=self.step_size).softmax(0)
        # The rows' weights in one product: half the kernels of differentiating through loss_G.
        loss = torch.dot((weight_G / count_G).index_select(0, group_B), loss_B)
        if self.objective == "dro" and state.adjustment_G is not None:
            loss = loss + torch.dot(weight_G, state.adjustment_G)
        return loss

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Weights)
        state.log_weight_G.copy_(state.log_weight_G.log_softmax(0))  # sums of a whole training would lose digits

    def _tail(self, loss_G: Tensor, count_G: Tensor, state: _Weights) -> Tensor:
        present_G = count_G.clamp(max=1).round()
        old_G = (1 - self.ema * present_G) * state.seen_G
        state.average_G.mul_(old_G).add_(loss_G * (1 - old_G))
        state.seen_G.copy_(torch.maximum(state.seen_G, present_G))
        reference_G = state.average_G if state.adjustment_G is None else state.average_G + state.adjustment_G
        return torch.lerp(tail_weights(reference_G, state.share_G, self.alpha), state.share_G, self.min_variance)

    def _adjustment(self, count_G: Tensor) -> Tensor | None:
        values = self.adjustment if isinstance(self.adjustment, tuple) else (self.adjustment,)
        if len(values) not in (1, len(count_G)):
            raise BadInput(
                f"adjustment of GroupDRO must be one value or {len(count_G)}, one a group, got {len(values)}"
            )
        if not all(values):
            return None
        return torch.where(count_G > 0, count_G.new_tensor(values) / count_G.clamp(min=1).sqrt(), 0)


def tail_weights(reference_G: Tensor, share_G: Tensor, alpha: float) -> Tensor:
    """(G,) weights of the groups with the largest reference loss that together make up a fraction `alpha`.

    Each group has weight share / alpha until they sum to 1; the last one takes what is left.
    """
    order_G = reference_G.argsort(descending=True, stable=True)
    sorted_G = share_G[order_G]
    before_G = sorted_G.cumsum(0) - sorted_G
    filled_G = torch.minimum((alpha - before_G).clamp(min=0), sorted_G) / alpha
    return torch.zeros_like(share_G).index_copy(0, order_G, filled_G)
