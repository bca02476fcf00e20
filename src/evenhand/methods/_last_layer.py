"""What methods share that train the last layer on features of a finished encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.groups import mean_per_group
from evenhand.losses import at_least_single, mean_cross_entropy
from evenhand.methods._base import Method, State
from evenhand.model import Model, in_chunks


@torch.no_grad()
def features_of(split: Split, model: Model, rows: Tensor | None = None) -> Tensor:
    """(N, D) features of the rows (by default all), in eval mode, in single precision at least."""
    with model.evaluating():
        return torch.cat([at_least_single(model.encoder(batch.x)) for batch in in_chunks(split, rows)])


@torch.no_grad()
def constant_features(batch: Batch, model: Model) -> Tensor:
    """(B, D) features of a batch, in eval mode, through which no gradient flows."""
    with model.evaluating():
        features_BD: Tensor = model.encoder(batch.x)
    return features_BD


def worst_accuracies(guess_NM: Tensor, y_N: Tensor, group_N: Tensor, n_groups: int) -> Tensor:
    """(M,) accuracy of the worst group that has rows, for each of M models; infinite without rows."""
    right_NM = (guess_NM == y_N[:, None]).double()
    accuracy_GM, count_G = mean_per_group(right_NM, group_N, n_groups)
    return accuracy_GM.masked_fill((count_G == 0)[:, None], torch.inf).amin(0)


def two_parts(n_rows: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The rows in random order, cut in two: the first `share` of them, and the rest; one row at least in each."""
    order = torch.randperm(n_rows, generator=Generator().manual_seed(seed))
    first = min(max(1, round(share * n_rows)), max(1, n_rows - 1))
    return order[:first], order[first:]


class _Part(State):
    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Buffer(rows, persistent=False)


@dataclass(frozen=True)
class FirstPart(Method):
    """Plain training on a share of the rows, as the first stage of methods that need the others fresh.

    Attributes:
        share: in (0, 1), of the rows.
        seed: which rows these are: the same for every run.
    """

    share: float
    seed: int

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        return _Part(two_parts(len(split), self.share, self.seed)[0])

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, _Part)
        rows = state.rows.cpu()
        return sampling.in_batches(rows[sampling.shuffled(len(rows), rng)], size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)
