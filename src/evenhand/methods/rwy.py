"""Reweighted class sampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, State
from evenhand.model import Model


@dataclass(frozen=True)
class RWY(Method):
    """Trains on batches in which every class has the same expected share, drawn with replacement; needs no groups.

    Idrissi, Arjovsky, Pezeshki and Lopez-Paz (2022), Simple data balancing achieves competitive worst-group-accuracy.

        row i is drawn with probability proportional to N / count_C[y_N[i]]; N draws an epoch
        loss = cross_entropy(logits_BC, y_B).mean()

    Classes without training rows have no share. Has no options.

    Differs from the authors' code: a class without rows is left out instead of dividing by zero.
    """

    source = "https://github.com/facebookresearch/BalancingGroups"

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        weights_N = sampling.balancing_weights(split.y, split.count_C)
        return sampling.in_batches(sampling.weighted(weights_N, len(split), rng), size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)
