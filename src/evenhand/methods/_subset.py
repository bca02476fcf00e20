"""The state of a method that trains on a fixed part of the rows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.methods._base import State


class Subset(State):
    """Rows drawn once: as many of every label present as the rarest has.

    The draw uses torch's global generator, which a run seeds; the rows are a buffer, so that a run that continues
    gets its own subset back, whatever the generator's state was when `start` was called again.
    """

    def __init__(self, label_N: Tensor) -> None:
        super().__init__()
        self.rows = nn.Buffer(sampling.subsampled(label_N, torch.default_generator))

    def batches(self, size: int, rng: Generator) -> Iterator[Tensor]:
        """Every row of the subset once, in random order."""
        order = sampling.shuffled(len(self.rows), rng)
        return sampling.in_batches(self.rows[order], size)
