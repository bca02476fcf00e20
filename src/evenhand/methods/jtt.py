"""Just train twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import mean_cross_entropy
from evenhand.methods._base import Method, Stage, State, require_range
from evenhand.methods._errors import RecordedERM, errors_of, recorded_errors
from evenhand.methods.erm import ERM
from evenhand.model import Model


class _Errors(State):
    def __init__(self, wrong_N: Tensor) -> None:
        super().__init__()
        self.wrong_N = nn.Buffer(wrong_N)


@dataclass(frozen=True)
class JTT(Method):
    """Trains a second time, with the rows that a first, short training gets wrong repeated. Needs no groups.

    Liu, Haghgoo, Chen, Raghunathan, Koh, Sagawa, Liang and Finn (2021), Just train twice: improving group robustness
    without training group information, Algorithm 1.

        stage 1: plain training for `erm_epochs`; errors = rows that it then gets wrong
        stage 2, from the initial weights: plain training on every row once and each error `upweight` times an epoch

    An epoch of stage 2 has N + (upweight - 1) * len(errors) rows, in random order. Without errors it is plain training.

    Attributes:
        erm_epochs: T, at least 1; none takes those of the run. 60 of 300 for Waterbirds, 1 of 50 for CelebA, 2 of 5 for
            MultiNLI and CivilComments.
        upweight: lambda, at least 1, or "balance": as often as makes errors about as many as the other rows. 100 for
            Waterbirds, 50 for CelebA, 4 for MultiNLI, 6 for CivilComments.
        copies: "total", as the paper's objective has it; "added": `upweight` (at least 0) copies beside the row itself,
            as the authors' program makes.
        errors: "frozen": of the model that stage 1 ends with, in eval mode and without augmentation, as the paper has
            it; "moving": as the rows went by in stage 1's last epoch, as the authors' program notes them. In a loop of
            one's own that skips `stages`, nothing was noted, and "moving" is "frozen".

    Raises:
        BadInput: an option outside its range.

    Differs from the authors' code, unless copies=added and errors=moving: errors are those of the frozen model and
    count `upweight` times in all. Their epoch t, counted from 0, is erm_epochs = t + 1. Texts of a batch are of
    similar length.
    """

    erm_epochs: int | None = 1
    upweight: int | Literal["balance"] = 50
    copies: Literal["total", "added"] = "total"
    errors: Literal["frozen", "moving"] = "frozen"

    source = "https://github.com/anniesch/jtt"

    def __post_init__(self) -> None:
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 1)
        least = 1 if self.copies == "total" else 0
        if self.upweight != "balance" and self.upweight < least:
            raise BadInput(f"upweight of JTT must be at least {least} with copies={self.copies}, got {self.upweight!r}")

    def stages(self) -> tuple[Stage, ...]:
        first = RecordedERM() if self.errors == "moving" else ERM()
        return (Stage(first, epochs=self.erm_epochs), Stage(self, restart=True))

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        wrong_N = recorded_errors(model) if self.errors == "moving" else None
        return _Errors(errors_of(split, model) if wrong_N is None else wrong_N.clone())

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, _Errors)
        rows = self.rows(state.wrong_N.cpu())
        if split.inputs.lengths is not None:
            return (rows[part] for part in sampling.bucketed(split.inputs.lengths[rows], size, rng))
        return sampling.in_batches(rows[sampling.shuffled(len(rows), rng)], size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        return mean_cross_entropy(model(batch.x), batch.y)

    def rows(self, wrong_N: Tensor) -> Tensor:
        """The rows of an epoch of stage 2, in order: all, then the errors as often as they are added."""
        error_rows = torch.nonzero(wrong_N).flatten()
        added = self._added(len(wrong_N), len(error_rows))
        return torch.cat([torch.arange(len(wrong_N)), error_rows.repeat(added)])

    def _added(self, n_rows: int, n_errors: int) -> int:
        if self.upweight == "balance":
            return max((n_rows - n_errors) // max(n_errors, 1) - 1, 0)
        return self.upweight - 1 if self.copies == "total" else self.upweight
