"""Label-occurrence-balanced mixup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.methods._base import Method, State, require_groups, require_range
from evenhand.methods._mixing import Level, Pairs, beta_draws, mixed_logits, permutation, share
from evenhand.model import Model


@dataclass(frozen=True)
class OBMix(Method):
    """Mixup of rows that are drawn so that every class, or every group, occurs equally often.

    Zhang, Chen, Zhang and Peng (2022), Label-occurrence-balanced mixup for long-tailed recognition; with
    `first="natural"` Galdran, Carneiro and González Ballester (2021), Balanced-MixUp.

        row i is drawn with probability proportional to N / count[label of i]; N draws an epoch
        balanced:  x_mixed = share * x_B + (1 - share) * x_B[partner_B],   share ~ Beta(alpha, alpha), one a batch
        natural:   x_mixed = (1 - share) * natural + share * balanced,     share ~ Beta(alpha, 1), one a batch
        loss     = cross-entropy with labels mixed alike, mean over the mixtures

    Balanced: every mixture has two rows drawn independently and balanced, as a permutation of independent draws is, so
    that every label has the same expected share of the label mass. Natural: the first half of a batch is drawn from
    all rows alike, the second half balanced; an epoch has 2 N draws for N mixtures. Classes or groups without rows have
    no share. A mixture has no single label: training figures of single rows, and so of groups, are not recorded.

    Attributes:
        alpha: at least 0; for "balanced" 0 mixes nothing (balanced sampling alone) and 1 draws the share uniformly; for
            "natural" above 0: .1, .2 or .3 in the paper, the less the more natural.
        by: "class", as the authors describe; or "group", which needs groups: the worst-group accuracies that Hong et
            al. (2024) report suggest it.
        first: "balanced", or "natural": Balanced-MixUp.
        level: "input"; "feature", what the encoder gives; or "auto": inputs, unless they are whole numbers (tokens).

    Raises:
        BadInput: an option outside its range, by="group" without attributes or with one value only, or integer inputs
            at level "input".

    Differs from the authors' code: for OBMix none was found; Balanced-MixUp there takes an epoch for over when the
    shorter of two loaders is.
    """

    alpha: float = 1.0
    by: Literal["class", "group"] = "class"
    first: Literal["balanced", "natural"] = "balanced"
    level: Level = "auto"

    source = "https://github.com/agaldran/balanced_mixup"

    def __post_init__(self) -> None:
        require_range(self, "alpha", 0, above=self.first == "natural")
        object.__setattr__(self, "needs_groups", self.by == "group")  # of this object: by class it needs none

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        if self.by == "group":
            require_groups(split, self)
        return State()

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        label_N, count = (split.y, split.count_C) if self.by == "class" else (split.group, split.count_G)
        weight_N = sampling.balancing_weights(label_N, count)
        if self.first == "balanced":
            return sampling.in_batches(sampling.weighted(weight_N, len(split), rng), size)
        each = max(size // 2, 1)
        natural = sampling.in_batches(sampling.shuffled(len(split), rng), each)
        balanced = sampling.in_batches(sampling.weighted(weight_N, len(split), rng), each)
        # A batch of one row has no room for a partner.
        return (torch.cat(rows)[:size] for rows in zip(natural, balanced, strict=True))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        pairs = self._pairs(batch.y)
        return pairs.mean_loss(mixed_logits(model, batch.x, pairs.mix, self.level), batch.y)

    def _pairs(self, y_B: Tensor) -> Pairs:
        if self.first == "balanced":
            return Pairs(None, permutation(y_B), share(self.alpha))
        row_B = torch.arange(len(y_B), device=y_B.device)
        half = -(-len(y_B) // 2)  # the middle one of an odd number of rows is mixed with itself or its neighbour
        return Pairs(row_B[:half], row_B[-half:], 1 - float(beta_draws(self.alpha, 1, 1)))
