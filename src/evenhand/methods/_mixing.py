"""Mixed inputs, features and labels: what the methods that train on combinations of rows share.

What is random is drawn by torch's global generator on the CPU, which a run seeds and stores in its snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import Beta
from torch.nn import functional as F

from evenhand import sampling
from evenhand.errors import BadInput
from evenhand.groups import sum_per_group
from evenhand.losses import at_least_single, mean_cross_entropy
from evenhand.model import Model

Level = Literal["auto", "input", "feature"]


class Pairs(NamedTuple):
    """M pairs of rows of a batch, and how much of each mixture is its first row."""

    first: Tensor | None  # (M,) rows; None is every row of the batch, in order
    second: Tensor  # (M,) rows
    share: float | Tensor  # of the first, in [0, 1]: (M,), or one number for all

    def mix(self, values: Tensor) -> Tensor:
        """(M, …) `share * values[first] + (1 - share) * values[second]` of inputs or features (B, …)."""
        own = values if self.first is None else values.index_select(0, self.first)
        share = self.share
        if isinstance(share, Tensor):
            share = share.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
        partner = values.index_select(0, self.second)
        if values.requires_grad or (isinstance(share, Tensor) and share.requires_grad):
            return torch.lerp(partner, own, share)
        return partner.lerp_(own, share)  # a copy less to write: half the time of mixing images

    def losses(self, logits_MC: Tensor, y_B: Tensor, weight_C: Tensor | None = None) -> Tensor:
        """(M,) cross-entropy with the mixed label, in nats: `share` of the first row's label, the rest of the second's.

        With `weight_C` the part of each label counts as much as its class.
        """
        log_prob_MC = at_least_single(logits_MC).log_softmax(1)
        own_y_M = y_B if self.first is None else y_B.index_select(0, self.first)
        own_M = F.nll_loss(log_prob_MC, own_y_M, weight_C, reduction="none")
        other_M = F.nll_loss(log_prob_MC, y_B.index_select(0, self.second), weight_C, reduction="none")
        share = self.share.to(own_M.dtype) if isinstance(self.share, Tensor) else self.share
        return torch.lerp(other_M, own_M, share)

    def mean_loss(self, logits_MC: Tensor, y_B: Tensor) -> Tensor:
        """Scalar mean of `losses`: with one share for all it is faster by two means."""
        if isinstance(self.share, Tensor):
            return self.losses(logits_MC, y_B).mean()
        own_y_M = y_B if self.first is None else y_B.index_select(0, self.first)
        other = mean_cross_entropy(logits_MC, y_B.index_select(0, self.second))
        return torch.lerp(other, mean_cross_entropy(logits_MC, own_y_M), self.share)


# --- where to mix ---


def at_features(x: Tensor, level: Level) -> bool:
    """Whether to mix after the encoder: with "auto" only where inputs cannot be mixed, being whole numbers.

    Raises:
        BadInput: integer inputs are to be mixed at level "input".
    """
    if level == "input" and not x.is_floating_point():
        raise BadInput(f"inputs of type {x.dtype} cannot be mixed; choose level=feature, which mixes the features")
    return level == "feature" or not x.is_floating_point()


def mixed_logits(model: Model, x: Tensor, mix: Callable[[Tensor], Tensor], level: Level) -> Tensor:
    """(M, C) logits of what `mix` makes of the inputs (B, …), or of their features."""
    features_MD = mix(model.encoder(x)) if at_features(x, level) else model.encoder(mix(x))
    return unrecorded_logits(model, features_MD)


def unrecorded_logits(model: Model, features_MD: Tensor) -> Tensor:
    """(M, C) logits that hooks do not see: the training history must not take them for predictions of single rows."""
    logits_MC: Tensor = model.classifier.forward(features_MD)
    return logits_MC


# --- what to draw ---


def beta_draws(first: float, second: float, n_draws: int) -> Tensor:
    """(n_draws,) float64 draws from Beta(first, second), on the CPU."""
    draws: Tensor = _beta(first, second).sample((n_draws,))
    return draws


@cache  # to make the distribution takes longer than to draw from it
def _beta(first: float, second: float) -> Beta:
    first_, second_ = (torch.tensor(value, dtype=torch.float64, device="cpu") for value in (first, second))
    return Beta(first_, second_, validate_args=False)


def shares(alpha: float, n_draws: int) -> Tensor:
    """(n_draws,) lambda ~ Beta(alpha, alpha), on the CPU; 1, which mixes nothing, for `alpha` 0."""
    return beta_draws(alpha, alpha, n_draws) if alpha > 0 else torch.ones(n_draws, dtype=torch.float64)


def share(alpha: float) -> float:
    """One lambda ~ Beta(alpha, alpha); 1, which mixes nothing, for `alpha` 0."""
    return float(shares(alpha, 1))


def permutation(like_B: Tensor) -> Tensor:
    """(B,) the rows in random order, where `like_B` is."""
    return torch.randperm(len(like_B)).to(like_B.device, non_blocking=True)


def drawn_by_weight(weight_B: Tensor) -> Tensor:
    """(B,) rows drawn with replacement, with probability proportional to `weight_B`."""
    cumulative_B = weight_B.cumsum(0)
    draw_B = torch.rand(len(weight_B)).to(weight_B.device, weight_B.dtype, non_blocking=True)
    return torch.searchsorted(cumulative_B, draw_B * cumulative_B[-1], right=True).clamp(max=len(weight_B) - 1)


@dataclass(frozen=True, eq=False)
class Decks:
    """The rows of a batch, dealt out by label in random order: R decks of each of L labels."""

    order: Tensor  # (R, B) rows
    start: Tensor  # (L,) where each label's rows begin
    count: Tensor  # (L,) how many it has

    @classmethod
    def shuffled(cls, label_B: Tensor, n_labels: int, n_decks: int) -> Decks:
        """`n_decks` independent orders of the rows within each label."""
        draws_RB = torch.rand(n_decks, len(label_B)).to(label_B.device, non_blocking=True)
        count_L = sum_per_group(torch.ones_like(label_B), label_B, n_labels)
        # Half a draw: label + draw could round up to the next label.
        return cls((label_B + draws_RB / 2).argsort(1), count_L.cumsum(0) - count_L, count_L)

    def rows(self, deck: int, label_K: Tensor, turn_K: Tensor) -> Tensor:
        """(K,) the row of each label that comes at this turn, round and round; any row for a label without rows."""
        place_K = self.start[label_K] + turn_K % self.count[label_K].clamp(min=1)
        return self.order[deck].take(place_K.clamp(max=self.order.shape[1] - 1))


def partners(same_B: Tensor, differs_B: Tensor, n_same: int, n_differs: int) -> tuple[Tensor, Tensor]:
    """(B,) a random row with the same `same_B` and another `differs_B` for each row, and (B,) whether there is one."""
    cell_B = same_B * n_differs + differs_B
    order_B = cell_B.argsort(stable=True)
    count = sum_per_group(torch.ones_like(cell_B), cell_B, n_same * n_differs)
    start = count.cumsum(0) - count
    own_B = count[cell_B]
    eligible_B = count.view(n_same, n_differs).sum(1)[same_B] - own_B
    draw_B = torch.rand(len(cell_B)).to(cell_B.device, non_blocking=True)
    place_B = start[same_B * n_differs] + (draw_B * eligible_B).long()
    place_B = place_B + own_B * (place_B >= start[cell_B])  # jump over the row's own cell
    return order_B.take(place_B.clamp(max=len(order_B) - 1)), eligible_B > 0


def balanced_batches(
    label_N: Tensor, size: int, n_batches: int, rng: Generator, *, labels_at_once: int | None = None
) -> Iterator[Tensor]:
    """`n_batches` batches of `size // L` rows of each of the L labels present, drawn with replacement, shuffled.

    With `labels_at_once` each batch has so many of the labels, drawn without replacement.

    Raises:
        BadInput: a batch is too small for one row of each label.
    """
    present, label_N = torch.unique(label_N.cpu(), return_inverse=True)
    rows_N, start_L, count_L = sampling.rows_per_label(label_N, len(present))
    n_labels = labels_at_once or len(present)
    if size < n_labels:
        raise BadInput(f"a balanced batch needs a row of each of {n_labels} labels or groups, got batch_size={size}")
    for _ in range(n_batches):
        label_K = torch.randperm(len(present), generator=rng)[:n_labels, None]
        draws = torch.rand(n_labels, size // n_labels, generator=rng, dtype=torch.float64)
        rows = rows_N[start_L[label_K] + (draws * count_L[label_K]).long()].flatten()
        yield rows[torch.randperm(len(rows), generator=rng)]


# --- images ---


def with_box(x: Tensor, second_B: Tensor, wanted_share: float) -> tuple[Tensor, float]:
    """Images (B, channels, H, W) with one random box replaced by that of their partners, and the share that is left.

    Raises:
        BadInput: the inputs are not images.
    """
    if x.ndim != 4:
        raise BadInput(f"CutMix takes images (B, channels, height, width), got inputs of shape {tuple(x.shape)}")
    height, width = x.shape[2:]
    row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
    (top, bottom), (left, right) = box(height, width, wanted_share, row, column)
    mixed = x.clone()
    mixed[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right].index_select(0, second_B)
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def box(height: int, width: int, share: float, row: int, column: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(top, bottom), (left, right) of a box of `1 - share` of the image around a pixel, cut off at the image's edge."""
    side = (1 - share) ** 0.5
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    rows = max(row - half_height, 0), min(row + half_height, height)
    return rows, (max(column - half_width, 0), min(column + half_width, width))
