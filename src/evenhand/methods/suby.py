"""Subsampled classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from evenhand.batch import Batch, Split
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, State
from evenhand.methods._subset import Subset
from evenhand.model import Model


@dataclass(frozen=True)
class SUBY(Method):
    """Trains on as many rows of every class as the rarest has; the rest is dropped for the whole run. Needs no groups.

    Idrissi, Arjovsky, Pezeshki and Lopez-Paz (2022), Simple data balancing achieves competitive worst-group-accuracy.

        rows = min(count_C) random rows of every class, drawn once at the start; an epoch visits each of them once
        loss = cross_entropy(logits_BC, y_B).mean()

    Classes without training rows are not counted. Has no options.

    Differs from the authors' code: a class without rows is left out instead of emptying the subset.
    """

    source = "https://github.com/facebookresearch/BalancingGroups"

    def start(self, split: Split, model: Model, val: Split | None = None) -> Subset:
        return Subset(split.y)

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, Subset)
        return state.batches(size, rng)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)
