"""Group-balanced mixup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import mean_per_group
from evenhand.losses import cross_entropy, mean_cross_entropy
from evenhand.methods._base import Method, Stage, State, groups_of, require_groups, require_range
from evenhand.methods._mixing import (
    Decks,
    Level,
    Pairs,
    at_features,
    balanced_batches,
    permutation,
    shares,
    unrecorded_logits,
)
from evenhand.model import Model


class _Parts(State):
    """The rows that are mixed, those that the last layer is fine-tuned on, and which super-groups are paired."""

    def __init__(self, split: Split, mixed_rows: Tensor, tuning_rows: Tensor, pairings_P2: Tensor) -> None:
        super().__init__()
        self.n_groups, self.n_attributes = split.n_groups, split.n_attributes
        self.mixed_rows, self.tuning_rows = mixed_rows, tuning_rows
        self.pairings_P2 = nn.Buffer(pairings_P2.to(split.y.device), persistent=False)


@dataclass(frozen=True)
class GBMix(Method):
    """Mixes the group that is worst in each batch with groups that share its class or its attribute, then others alike.

    Hong, Yoon, Joo and Lee (2024), GBMix: Enhancing fairness by group-balanced mixup, Section V, Equations 7 to 10.

        g0 = argmax(mean loss of each group in the batch), of class y_t and attribute s_t; of equal losses the first
        g1 = rows with y == y_t, s != s_t;   g2 = rows with y != y_t, s == s_t;   g3 = rows with y != y_t, s != s_t
        x_mixed = share * x[i] + (1 - share) * x[j], i and j random rows of two super-groups; labels alike; k of each
                  pairing; share ~ Beta(alpha, alpha)
        loss = sum over the pairings (0,1), (0,2), (1,3), (2,3) of the mean cross-entropy of their k mixtures
        then the last layer alone: cross_entropy(logits_BC, y_B).mean() on group-balanced batches of held-out rows

    Batches have equally many rows of every group with training rows, drawn with replacement. The groups' losses come
    from a pass over the un-mixed batch, without gradient but in train mode (which moves the statistics of batch
    normalisation); at level "feature" it is the only pass. It also gives the training figures of groups. Within a batch
    the rows of a super-group are taken in random order, round and round where k is more than they are. A super-group
    without rows in the batch drops its pairings. Several attributes count as one, their combination.

    The method has two stages. This object's own `loss` is that of the last: cross-entropy of the classifier on features
    of the encoder in eval mode, without gradient. That of the mixing is the loss of `GBMix(finetune_epochs=0)`. The
    best mixing epoch is handed over.

    Attributes:
        alpha: at least 0; 0 mixes nothing, 1 draws the share uniformly. The paper does not say what it uses.
        per_pairing: k, at least 1; none takes a quarter of the batch, "the average number of data samples from each
            group" where the groups are the four super-groups.
        pairings: of the super-groups, two digits each; (01, 02, 13, 23) in Equation 10. The others, (03, 12) and within
            one (00, 11, 22, 33), occur in Equation 9 only.
        share_per: "pairing", one share for the mixtures of a pairing in a batch, or "sample"; the paper does not say.
        target: "worst", or "random" for a group of the batch drawn at random, which needs no pass before mixing.
        categorize: False mixes every row of the batch with a random one, without target and super-groups (Figure 3).
        mix: False takes k rows of each super-group as they are, loss the sum of the four means (Figure 3).
        balance: False takes every row once an epoch, in random order.
        finetune_epochs: of the last stage, at least 0; 0 leaves it out (Figure 3). The held-out rows remain unused then
            unless `holdout` is 0.
        holdout: share of rows set aside for fine-tuning, in [0, 1], at least one of each group; 0 fine-tunes on all
            training rows. The paper does not say how many. They are the same for every seed. A group all of whose rows
            are set aside is mixed with them all the same.
        holdout_of: "smallest_group", so many rows of every group; or "each_group", that share of every group.
        level: "input"; "feature", what the encoder gives; or "auto": inputs, unless they are whole numbers (tokens).

    Raises:
        BadInput: no attributes or one value only, an option outside its range, a batch size below the number of
            groups, or integer inputs at level "input".

    The authors have published no code.
    """

    alpha: float = 1.0
    per_pairing: int | None = None
    pairings: tuple[str, ...] = ("01", "02", "13", "23")
    share_per: Literal["pairing", "sample"] = "pairing"
    target: Literal["worst", "random"] = "worst"
    categorize: bool = True
    mix: bool = True
    balance: bool = True
    finetune_epochs: int = 10
    holdout: float = 0.1
    holdout_of: Literal["smallest_group", "each_group"] = "smallest_group"
    level: Level = "auto"

    needs_groups = True
    source = "https://doaj.org/article/2e77c5614055405392aab5bbf121068f"

    def __post_init__(self) -> None:
        require_range(self, "alpha", 0)
        require_range(self, "finetune_epochs", 0)
        require_range(self, "holdout", 0, 1)
        if self.per_pairing is not None:
            require_range(self, "per_pairing", 1)
        if not self.pairings or not all(len(pair) == 2 and set(pair) <= set("0123") for pair in self.pairings):
            raise BadInput(f"pairings of GBMix must be two digits of 0..3 each, such as 01,02, got {self.pairings!r}")

    def stages(self) -> tuple[Stage, ...]:
        if not self.finetune_epochs:
            return (Stage(self),)
        mixing = Stage(replace(self, finetune_epochs=0), keep="best")
        return (mixing, Stage(self, epochs=self.finetune_epochs, trains="classifier"))

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        # Without mixing, a pairing is a super-group with itself.
        pairings = self.pairings if self.mix else ("00", "11", "22", "33")
        pairings_P2 = torch.tensor([[int(k) for k in pair] for pair in pairings])
        return _Parts(split, *self.parts(split), pairings_P2)

    def parts(self, split: Split) -> tuple[Tensor, Tensor]:
        """Rows to mix and rows to fine-tune on, the same whenever this is called."""
        all_rows = torch.arange(len(split))
        if self.holdout == 0:
            return all_rows, all_rows
        group_N, count_G = split.group.cpu(), split.count_G.cpu()
        order = torch.randperm(len(split), generator=Generator().manual_seed(0))
        rank_N = torch.empty_like(order)
        rank_N[order] = sampling.rank_within_label(group_N[order])
        base_G = count_G if self.holdout_of == "each_group" else count_G[count_G > 0].min().expand(len(count_G))
        held_G = (self.holdout * base_G).long().clamp(min=1)
        held_N = rank_N < held_G[group_N]
        return all_rows[~held_N | (held_G >= count_G)[group_N]], all_rows[held_N]

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, _Parts)
        rows = state.tuning_rows if self.finetune_epochs else state.mixed_rows
        if not self.balance and not self.finetune_epochs:
            return sampling.in_batches(rows[sampling.shuffled(len(rows), rng)], size)
        batches = balanced_batches(split.group.cpu()[rows], size, -(-len(split) // size), rng)
        return (rows[chosen] for chosen in batches)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Parts)
        group_B = groups_of(batch, self)
        if self.finetune_epochs:
            with torch.no_grad(), model.evaluating():
                features_BD = model.encoder(batch.x)
            return mean_cross_entropy(model.classifier(features_BD), batch.y)
        inside, features = at_features(batch.x, self.level), None
        if inside or (self.categorize and self.target == "worst"):
            with torch.set_grad_enabled(inside and torch.is_grad_enabled()):
                features = model.encoder(batch.x)
        pairs, weight_M = self._pairs(batch.y, group_B, features, model, state)
        mixed = pairs.mix(features) if inside and features is not None else model.encoder(pairs.mix(batch.x))
        loss_M = pairs.losses(unrecorded_logits(model, mixed), batch.y)
        return torch.dot(weight_M.to(loss_M.dtype), loss_M)

    def _pairs(
        self, y_B: Tensor, group_B: Tensor, features: Tensor | None, model: Model, state: _Parts
    ) -> tuple[Pairs, Tensor]:
        """Which rows to mix, and (M,) the weight of each mixture in the loss."""
        n_rows, device = len(y_B), y_B.device
        alpha = self.alpha if self.mix else 0.0
        if not self.categorize:
            one_share = shares(alpha, 1 if self.share_per == "pairing" else n_rows).expand(n_rows)
            pairs = Pairs(None, permutation(y_B), one_share.float().to(device, non_blocking=True))
            return pairs, torch.full((n_rows,), 1 / n_rows, device=device)
        if self.target == "worst" and features is not None:
            # Logits with gradient are taken for the rows' own by the training history, which these are.
            loss_B = cross_entropy(model.classifier(features.detach()), y_B).detach()
            target = worst_group(loss_B, group_B, state.n_groups)
        else:
            target = group_B.take(torch.randint(n_rows, ()).to(device, non_blocking=True))
        k = self.per_pairing or max(n_rows // 4, 1)
        pairings_P2 = state.pairings_P2
        share_P = shares(alpha, len(pairings_P2) * (1 if self.share_per == "pairing" else k)).float()
        share_M = share_P.repeat_interleave(k) if self.share_per == "pairing" else share_P
        decks = Decks.shuffled(super_groups(group_B, target, state.n_attributes), 4, 2)
        turn_M = torch.arange(k, device=device).repeat(len(pairings_P2))
        first_M, second_M = (decks.rows(i, pairings_P2[:, i].repeat_interleave(k), turn_M) for i in (0, 1))
        present_P = decks.count[pairings_P2].amin(1) > 0
        weight_M = present_P.repeat_interleave(k) / k
        return Pairs(first_M, second_M, share_M.to(device, non_blocking=True)), weight_M


def worst_group(loss_B: Tensor, group_B: Tensor, n_groups: int) -> Tensor:
    """Scalar index of the group with the largest mean loss in the batch; of equal ones the first."""
    mean_G, count_G = mean_per_group(loss_B, group_B, n_groups)
    return torch.where(count_G > 0, mean_G, -1).argmax()


def super_groups(group_B: Tensor, target: Tensor, n_attributes: int) -> Tensor:
    """(B,) 0 for the target group, 1 its class with another attribute, 2 its attribute in another class, 3 the rest."""
    other_class_B = group_B // n_attributes != target // n_attributes
    other_attribute_B = group_B % n_attributes != target % n_attributes
    return 2 * other_class_B + other_attribute_B.long()
