"""Min-max stochastic gradient descent by active sampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import cross_entropy, mean_cross_entropy
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_groups, require_range, require_validation
from evenhand.methods.erm import ERM
from evenhand.model import Model, in_chunks


class _Monitor(State):
    """The rows of each label and its running validation loss; L labels, those with rows in both splits, ascending."""

    def __init__(self, label_N: Tensor, val: Split, val_label_N: Tensor, n_labels: int, dtype: torch.dtype) -> None:
        super().__init__()
        rows_N, first, count = sampling.rows_per_label(label_N, n_labels)
        order_N = torch.randperm(len(val)).to(val_label_N.device)  # by torch's global generator, which a run seeds
        val_rows_N, val_first, val_count = sampling.rows_per_label(val_label_N[order_N], n_labels)
        label_L = torch.nonzero((count > 0) & (val_count > 0)).flatten()
        if len(label_L) == 0:
            raise BadInput("MMSGD needs a group with rows both in training and in validation, got none")
        self.val = val
        self.rows_N = nn.Buffer(rows_N, persistent=False)
        self.first_L = nn.Buffer(first[label_L], persistent=False)
        self.count_L = nn.Buffer(count[label_L], persistent=False)
        self.val_rows_N = nn.Buffer(order_N[val_rows_N])
        self.val_first_L = nn.Buffer(val_first[label_L], persistent=False)
        self.val_count_L = nn.Buffer(val_count[label_L], persistent=False)
        self.position = nn.Buffer(torch.zeros_like(label_L[0]))  # validation rows of each label looked at so far
        self.loss_L = nn.Buffer(torch.zeros_like(label_L, dtype=dtype))

    def next_rows(self, n_rows: int) -> Tensor:
        """(L, n_rows) the next validation rows of each label, round and round."""
        ahead = self.position + torch.arange(n_rows, device=self.position.device)
        self.position.add_(n_rows)
        return self.val_rows_N[self.val_first_L[:, None] + ahead % self.val_count_L[:, None]]


@dataclass(frozen=True)
class MMSGD(Method):
    """Trains on rows of whichever group currently has the largest validation loss.

    Abernethy et al. (2022), Active sampling for min-max fairness, Algorithm 2 (MLP version), made for deep networks.

        worst = argmax(loss_L)    loss_L: running mean of each group's validation loss, updated in every batch
        rows  = of the group `worst` in training; with probability whole_share of the whole training split
        loss  = cross_entropy(logits_BC, y_B).mean()

    Rows are drawn with replacement, in ceil(N / B) batches an epoch. Ties go to the lowest group; only groups with rows
    in both splits take part.

    Attributes:
        whole_share: in [0, 1]; 0 always trains on the worst group, 1 is plain training with replacement.
        groups: "attribute" (as in the authors' paper) or "group" (class and attribute). With "group" a batch holds one
            class only, which small data and large learning rates do not bear.
        val_rows: validation rows of each group looked at in each batch, at least 1; more is a steadier and slower loss.
        ema: weight of the newest loss in the running mean, in (0, 1]; 1 uses the newest only.
        warm_start: epochs of plain training before, at least 0.

    Raises:
        BadInput: no validation split, no attributes or one value only in either split, no group with rows in both, or
            an option outside its range.

    Differs from the authors' code: a running loss on a few validation rows instead of all rows in each step; the last
    network is returned, as in their MLP version, not the mean of all.
    """

    whole_share: float = 0.0
    groups: Literal["group", "attribute"] = "attribute"
    val_rows: int = 8
    ema: float = 0.1
    warm_start: int = 0

    needs_groups = True
    adaptive = True
    source = "https://github.com/amazon-science/active-sampling-for-minmax-fairness"

    def __post_init__(self) -> None:
        require_range(self, "whole_share", 0, 1)
        require_range(self, "val_rows", 1)
        require_range(self, "ema", 0, 1, above=True)
        require_range(self, "warm_start", 0)

    def stages(self) -> tuple[Stage, ...]:
        first = (Stage(ERM(), epochs=self.warm_start),) if self.warm_start else ()
        return (*first, Stage(self))

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        val = require_validation(val, self)
        by_group = self.groups == "group"
        label_N, val_label_N = (split.group, val.group) if by_group else (split.attribute, val.attribute)
        n_labels = split.n_groups if by_group else split.n_attributes
        state = _Monitor(label_N, val, val_label_N, n_labels, loss_dtype(model))
        with model.evaluating():
            loss_N = torch.cat([cross_entropy(model(batch.x), batch.y) for batch in in_chunks(val, state.val_rows_N)])
        ends_L = torch.stack([state.val_first_L, state.val_count_L], 1).tolist()
        state.loss_L.copy_(torch.stack([loss_N[first : first + count].mean() for first, count in ends_L]))
        return state

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, _Monitor)
        n_batches = -(-len(split) // size)
        whole = torch.rand(n_batches, generator=rng) < self.whole_share
        draws = torch.randint(2**62, (n_batches, size), generator=rng).to(state.rows_N.device)
        for from_all, draws_B in zip(whole.tolist(), draws, strict=True):
            if from_all:
                yield draws_B % len(split)
            else:
                worst = state.loss_L.argmax()
                yield state.rows_N[state.first_L[worst] + draws_B % state.count_L[worst]]

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Monitor)
        self._update(model, state)
        return mean_cross_entropy(model(batch.x), batch.y)

    @torch.no_grad()
    def _update(self, model: Model, state: _Monitor) -> None:
        rows = state.next_rows(self.val_rows).flatten()
        with model.evaluating():
            loss_B = cross_entropy(model(state.val.inputs.take(rows)), state.val.y[rows])
        state.loss_L.lerp_(loss_B.view(-1, self.val_rows).mean(1), self.ema)
