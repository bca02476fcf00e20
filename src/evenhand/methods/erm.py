"""Empirical risk minimisation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from evenhand.batch import Batch
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, State
from evenhand.model import Model


@dataclass(frozen=True)
class ERM(Method):
    """Minimises the mean cross-entropy over all rows: the plain training that every other method is compared to.

    Vapnik (1991), Principles of risk minimization for learning theory.

        loss = cross_entropy(logits_BC, y_B).mean()
    """

    source = "https://proceedings.neurips.cc/paper/1991/hash/ff4d5fbbafdf976cfdc032e3bde78de5-Abstract.html"

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)
