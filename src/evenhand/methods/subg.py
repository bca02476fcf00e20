"""Subsampled groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from evenhand.batch import Batch, Split
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, State, require_groups
from evenhand.methods._subset import Subset
from evenhand.model import Model


@dataclass(frozen=True)
class SUBG(Method):
    """Trains on as many rows of every group as the smallest has; the rest is dropped for the whole run.

    Idrissi, Arjovsky, Pezeshki and Lopez-Paz (2022), Simple data balancing achieves competitive worst-group-accuracy.

        rows = min(count_G) random rows of every group, drawn once at the start; an epoch visits each of them once
        loss = cross_entropy(logits_BC, y_B).mean()

    Groups without training rows are not counted. Has no options.

    Raises:
        BadInput: the training split has no attributes, or one value only.

    Differs from the authors' code: a group without rows is left out instead of emptying the subset.
    """

    needs_groups = True
    source = "https://github.com/facebookresearch/BalancingGroups"

    def start(self, split: Split, model: Model, val: Split | None = None) -> Subset:
        require_groups(split, self)
        return Subset(split.group)

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, Subset)
        return state.batches(size, rng)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)
