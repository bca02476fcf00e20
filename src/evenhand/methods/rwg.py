"""Reweighted group sampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, State, require_groups
from evenhand.model import Model


@dataclass(frozen=True)
class RWG(Method):
    """Trains on batches in which every group has the same expected share, drawn with replacement.

    Idrissi, Arjovsky, Pezeshki and Lopez-Paz (2022), Simple data balancing achieves competitive worst-group-accuracy.

        row i is drawn with probability proportional to N / count_G[group_N[i]]; N draws an epoch
        loss = cross_entropy(logits_BC, y_B).mean()

    Groups without training rows have no share. Has no options.

    Raises:
        BadInput: the training split has no attributes, or one value only.

    Differs from the authors' code: a group without rows is left out instead of dividing by zero.
    """

    needs_groups = True
    source = "https://github.com/facebookresearch/BalancingGroups"

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        return State()

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        weights_N = sampling.balancing_weights(split.group, split.count_G)
        return sampling.in_batches(sampling.weighted(weights_N, len(split), rng), size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)
