"""Orders in which rows are visited: each yields index tensors, the same for the same generator state.

Every draw is made with `rng` alone and does not depend on what happens between two batches, so that a killed run can
skip the batches it has already taken and go on with the very next one. Rows and draws are on the CPU, where the same
seed gives the same order on every machine; labels and weights may be on any device.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from evenhand.errors import BadInput


def in_batches(rows: Tensor, size: int, *, drop_last: bool = False) -> Iterator[Tensor]:
    """`rows` cut into batches of `size`; the last may be smaller unless `drop_last`."""
    end = len(rows) - len(rows) % size if drop_last else len(rows)
    if end:  # splitting nothing gives one batch of no rows
        yield from torch.split(rows[:end], size)


def shuffled(n_rows: int, rng: Generator) -> Tensor:
    """Every row once, in random order."""
    return torch.randperm(n_rows, generator=rng)


def bucketed(length_N: Tensor, size: int, rng: Generator, *, batches: int = 50) -> Iterator[Tensor]:
    """Every row once, in batches of similar length: shuffled, then sorted within each `batches` batches."""
    order = torch.randperm(len(length_N), generator=rng)
    length_N = length_N.cpu()
    for part in torch.split(order, size * batches):
        by_length = part[torch.argsort(length_N[part], stable=True)]
        cut = torch.split(by_length, size)
        yield from (cut[k] for k in torch.randperm(len(cut), generator=rng).tolist())


def weighted(weights_N: Tensor, n_draws: int, rng: Generator, *, replacement: bool = True) -> Tensor:
    """`n_draws` rows, each drawn with probability proportional to its weight (any positive scale).

    Raises:
        BadInput: a weight is negative or not finite, all are zero, or more rows than there are without replacement.
    """
    weights_N = weights_N.double().cpu()
    if not bool(torch.isfinite(weights_N).all()) or bool((weights_N < 0).any()) or not bool((weights_N > 0).any()):
        raise BadInput("sampling weights must be finite, not negative, and not all zero")
    positive = torch.nonzero(weights_N).flatten()
    if not replacement:
        if n_draws > len(positive):
            raise BadInput(f"cannot draw {n_draws} rows without replacement from {len(positive)}")
        # Efraimidis and Spirakis (2006): the largest u^(1/w) are a weighted draw without replacement.
        keys = torch.rand(len(weights_N), generator=rng, dtype=torch.float64).log() / weights_N
        return positive[keys[positive].topk(n_draws).indices]
    # One sorted search over the cumulative weights: torch.multinomial stops at 2^24 rows and works in float32.
    cumulative = weights_N[positive].cumsum(0)
    draws = torch.rand(n_draws, generator=rng, dtype=torch.float64) * cumulative[-1]
    return positive[torch.searchsorted(cumulative, draws, right=True).clamp_(max=len(positive) - 1)]


def balancing_weights(label_N: Tensor, count: Tensor) -> Tensor:
    """(N,) weight N / n_label of each row, so that every label present has the same expected share."""
    return len(label_N) / count[label_N].double()


def balanced_batches(
    label_N: Tensor, n_labels: int, per_label: int, n_batches: int, rng: Generator
) -> Iterator[Tensor]:
    """`n_batches` batches, each with `per_label` rows of every label, drawn with replacement.

    Raises:
        BadInput: a label has no rows.
    """
    rows_by_label, start, count = rows_per_label(label_N.cpu(), n_labels)
    if int(count.min()) == 0:
        raise BadInput(f"a balanced batch needs rows of every label; {int(count.argmin())} has none")
    for _ in range(n_batches):
        draws = torch.rand(n_labels, per_label, generator=rng, dtype=torch.float64)
        rows = rows_by_label[start[:, None] + (draws * count[:, None]).long()]
        yield rows.flatten()[torch.randperm(rows.numel(), generator=rng)]


def subsampled(label_N: Tensor, rng: Generator) -> Tensor:
    """Rows with equally many of every label present: permuted once, then as many of each as the rarest has.

    Raises:
        BadInput: there are no rows.
    """
    if len(label_N) == 0:
        raise BadInput("cannot take equally many rows of every label: there are no rows")
    label_N = label_N.cpu()
    order = torch.randperm(len(label_N), generator=rng)
    rank = rank_within_label(label_N[order])
    count = torch.bincount(label_N)
    smallest = int(count[count > 0].min())
    return order[rank < smallest]


def rank_within_label(label_N: Tensor) -> Tensor:
    """(N,) how many earlier rows have the same label."""
    rows_by_label, start, _ = rows_per_label(label_N, int(label_N.max()) + 1)
    rank = torch.empty_like(rows_by_label)
    rank[rows_by_label] = torch.arange(len(label_N), device=label_N.device) - start[label_N[rows_by_label]]
    return rank


def rows_per_label(label_N: Tensor, n_labels: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N,) rows sorted by label, (L,) where each label's rows start, and (L,) how many it has."""
    count = torch.bincount(label_N, minlength=n_labels)
    return torch.argsort(label_N, stable=True), count.cumsum(0) - count, count
