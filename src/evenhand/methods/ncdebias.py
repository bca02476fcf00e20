"""Neural-collapse-inspired debiasing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import ABSENT
from evenhand.losses import at_least_single, cross_entropy
from evenhand.methods._base import (
    Method,
    Stage,
    State,
    groups_of,
    loss_dtype,
    require_groups,
    require_range,
    require_validation,
)
from evenhand.methods.erm import ERM
from evenhand.model import Model, in_chunks


class _Geometry(State):
    def __init__(self, split: Split, dtype: torch.dtype, n_features: int, align_weight: float) -> None:
        super().__init__()
        count_G, n_classes, n_attributes = split.count_G, split.n_classes, split.n_attributes
        two_of_A = torch.combinations(torch.arange(n_attributes, device=count_G.device))
        first_C = torch.arange(n_classes, device=count_G.device) * n_attributes
        # Two groups of one class: P = C * A * (A - 1) / 2 pairs.
        pairs_P2 = (first_C[:, None, None] + two_of_A).flatten(0, 1)
        plus_PG, minus_PG = F.one_hot(pairs_P2, split.n_groups).to(dtype).unbind(1)
        self.majority_C = nn.Buffer(first_C + count_G.view(n_classes, n_attributes).argmax(1), persistent=False)
        self.present_G = nn.Buffer(count_G > 0, persistent=False)
        self.absent_G = nn.Buffer(torch.full_like(count_G, ABSENT, dtype=dtype), persistent=False)
        self.pairs_P2 = nn.Buffer(pairs_P2, persistent=False)
        self.contrast_PG = nn.Buffer((plus_PG - minus_PG) * (align_weight / n_features) ** 0.5, persistent=False)
        # What each group's features in the epoch's batches add up to; stays 0 unless `statistics` are running.
        self.sum_GD = nn.Buffer(torch.zeros(split.n_groups, n_features, dtype=dtype, device=count_G.device))
        self.rows = nn.Buffer(count_G.new_zeros(0))


@dataclass(frozen=True)
class NCDebias(Method):
    """Pulls the features of every group onto the mean direction of its class's largest group.

    Lu, Chai and Wang (2024), Neural collapse-inspired debiased representation learning for min-max fairness,
    Equations 3, 7 and 8.

        weight_CD = normalize(mean of features_ND over the largest group of each class); afresh before every epoch
        loss = loss_G.sum() + align_weight * sum of ((mean_GD[g] - mean_GD[h]) ** 2).mean() over pairs (g, h) of groups
               of the same class, where loss_G and mean_GD are the batch's mean cross-entropy and features of each group

    With two attribute values a class has one pair, as in the paper; with more, every two of its groups are a pair. A
    group missing from a batch adds nothing, nor do its pairs. All parts off is plain training; the paper's Table 6
    takes away the frozen classifier, the alignment, or both.

    Attributes:
        freeze_classifier: `start` sets the classifier from group means and switches its gradient off, and only the
            encoder is trained; False trains the whole model and leaves its classifier alone.
        group_ce: the sum over groups of mean cross-entropies; False takes the mean over rows.
        align_weight: at least 0; 0 is no alignment.
        statistics: what `weight_CD` is the direction of. `exact`: the mean over all rows of the largest groups, for
            images a quarter of an epoch more; `subsample`: the mean over a few of them; both with the weights that the
            epoch ended with, in eval mode and without augmentation. `running`: the mean over the epoch's own batches,
            as they were trained on, at no cost; a class without features there keeps its direction, and `start`, which
            has seen no batch, takes the mean over a few rows.
        subsample: so many rows of each largest group are those few, at least 1; drawn once, by PyTorch's global
            generator. A smaller group is taken whole.
        statistics_from: the split whose rows give `weight_CD`, "train" or "val"; largest groups are those in training.
        warm_start: epochs of plain training before, at least 0, as the published code has for text. An encoder without
            pretrained weights may need one: where all classes have nearly the same mean features, the frozen
            classifier cannot tell them apart, and the features collapse.
        legacy: as the published code does it: weights from the validation split with the model in train mode, the
            classifier's bias left at its random values, and a batch that lacks any group has loss 0.

    Raises:
        BadInput: no attributes or one value only, an option outside its range, options that exclude each other, or no
            validation rows where `weight_CD` comes from.

    Differs from the authors' code, unless `legacy`: statistics come from the training split in eval mode, the bias is
    zero, and batches that lack a group count; only exact statistics are theirs. With `legacy` too, largest groups are
    found, not written down; a batch of loss 0 still moves an optimizer that has momentum; and MultiNLI has neither the
    doubled group nor the plain epoch.
    """

    freeze_classifier: bool = True
    group_ce: bool = True
    align_weight: float = 1.0
    statistics: Literal["exact", "running", "subsample"] = "exact"
    subsample: int = 256
    statistics_from: Literal["train", "val"] = "train"
    warm_start: int = 0
    legacy: bool = False

    needs_groups = True
    source = "https://github.com/lu876/Neural-collapse-inspired-debiased-representation-learning-for-Min-max-fairness"

    def __post_init__(self) -> None:
        require_range(self, "align_weight", 0)
        require_range(self, "warm_start", 0)
        require_range(self, "subsample", 1)
        if self.legacy and self.statistics != "exact":
            raise BadInput(f"legacy of NCDebias takes statistics=exact, got statistics={self.statistics}")
        if self.statistics == "running" and self.statistics_from != "train":
            raise BadInput("statistics=running of NCDebias come from training batches, got statistics_from=val")

    def stages(self) -> tuple[Stage, ...]:
        debias = Stage(self, trains="encoder" if self.freeze_classifier else "all")
        return (Stage(ERM(), epochs=self.warm_start), debias) if self.warm_start else (debias,)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        state = _Geometry(split, loss_dtype(model), model.classifier.in_features, self.align_weight)
        if self.freeze_classifier:
            model.classifier.requires_grad_(False)
            source = self._source(split, state, val)
            state.rows = nn.Buffer(self._rows(source, state), persistent=self.statistics != "exact")
            self._aim(model, self._sums(source, model, state))
        return state

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Geometry)
        group_B = groups_of(batch, self)
        features_BD = model.encoder(batch.x)
        loss_B = cross_entropy(model.classifier(features_BD), batch.y)
        if self.statistics == "running":
            state.sum_GD.index_add_(0, group_B, at_least_single(features_BD.detach()))
        count_G = state.absent_G.index_add(0, group_B, torch.ones_like(loss_B))
        share_G = count_G.reciprocal()
        loss = torch.dot(share_G.index_select(0, group_B), loss_B) if self.group_ce else loss_B.mean()
        if self.align_weight > 0:
            # One product gives all differences of two means; a pair that lacks a group is scaled to nothing.
            complete_P1 = count_G.take(state.pairs_P2).amin(1, keepdim=True).clamp_(max=1)
            contrast_PB = (complete_P1 * state.contrast_PG * share_G).index_select(1, group_B)
            difference = torch.mm(contrast_PB, at_least_single(features_BD)).view(-1)
            loss = loss + torch.dot(difference, difference)
        if self.legacy:
            loss = loss * torch.where(state.present_G, count_G, 1).amin().clamp(max=1).round()
        return loss

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Geometry)
        if not self.freeze_classifier:
            return
        if self.statistics == "running":
            sum_CD = state.sum_GD[state.majority_C]
            self._aim(model, torch.where(sum_CD.any(1, keepdim=True), sum_CD, model.classifier.weight))
            state.sum_GD.zero_()
        else:
            self._aim(model, self._sums(self._source(split, state, val), model, state))

    def _source(self, split: Split, state: _Geometry, val: Split | None) -> Split:
        """The split that statistics come from; raise BadInput if it lacks a largest group."""
        if self.statistics_from == "train" and not self.legacy:
            return split
        source, majority_C = require_validation(val, self), state.majority_C
        for group in majority_C[(source.count_G == 0)[majority_C] & state.present_G[majority_C]].tolist():
            raise BadInput(f"NCDebias needs validation rows of the group {source.group_name(group)}, got none")
        return source

    def _rows(self, source: Split, state: _Geometry) -> Tensor:
        """The rows that a pass for statistics takes, in order."""
        if self.legacy:  # all of them, because in train mode they enter the running statistics of batch normalisation
            return torch.arange(len(source), device=source.y.device)
        rows = torch.nonzero(source.group == state.majority_C[source.y]).flatten()
        if self.statistics == "exact":
            return rows
        drawn = rows[torch.randperm(len(rows)).to(rows.device)]
        return drawn[sampling.rank_within_label(source.y[drawn]) < self.subsample].sort().values

    @torch.no_grad()
    def _sums(self, source: Split, model: Model, state: _Geometry) -> Tensor:
        """(C, D) what the features of each class's largest group add up to, over the chosen rows."""
        sum_GD = torch.zeros_like(state.sum_GD)
        with model.mode(training=self.legacy):
            for batch in in_chunks(source, state.rows):
                sum_GD.index_add_(0, groups_of(batch, self), at_least_single(model.encoder(batch.x)))
        return sum_GD[state.majority_C]

    @torch.no_grad()
    def _aim(self, model: Model, sum_CD: Tensor) -> None:
        """Set the classifier to the directions of the largest groups."""
        model.classifier.weight.copy_(F.normalize(sum_CD, dim=1))
        if model.classifier.bias is not None and not self.legacy:
            model.classifier.bias.zero_()
