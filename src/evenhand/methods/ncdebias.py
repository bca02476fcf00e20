"""Neural-collapse-inspired debiasing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import ABSENT, sum_per_group
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
        statistics_from: the split whose rows give `weight_CD`, "train" or "val"; largest groups are those in training.
        warm_start: epochs of plain training before, at least 0, as the published code has for text. An encoder without
            pretrained weights may need one: where all classes have nearly the same mean features, the frozen
            classifier cannot tell them apart, and the features collapse.
        legacy: as the published code does it: weights from the validation split with the model in train mode, the
            classifier's bias left at its random values, and a batch that lacks any group has loss 0.

    Raises:
        BadInput: no attributes or one value only, an option outside its range, or no validation rows where
            `weight_CD` comes from.

    Differs from the authors' code, unless `legacy`: statistics come from the training split in eval mode, the bias is
    zero, and batches that lack a group count. With `legacy` too, largest groups are found, not written down; a batch of
    loss 0 still moves an optimizer that has momentum; and MultiNLI has neither the doubled group nor the plain epoch.
    """

    freeze_classifier: bool = True
    group_ce: bool = True
    align_weight: float = 1.0
    statistics_from: Literal["train", "val"] = "train"
    warm_start: int = 0
    legacy: bool = False

    needs_groups = True
    source = "https://github.com/lu876/Neural-collapse-inspired-debiased-representation-learning-for-Min-max-fairness"

    def __post_init__(self) -> None:
        require_range(self, "align_weight", 0)
        require_range(self, "warm_start", 0)

    def stages(self) -> tuple[Stage, ...]:
        debias = Stage(self, trains="encoder" if self.freeze_classifier else "all")
        return (Stage(ERM(), epochs=self.warm_start), debias) if self.warm_start else (debias,)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        if self.freeze_classifier:
            model.classifier.requires_grad_(False)
        state = _Geometry(split, loss_dtype(model), model.classifier.in_features, self.align_weight)
        self._refresh(split, model, state, val)
        return state

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Geometry)
        group_B = groups_of(batch, self)
        features_BD = model.encoder(batch.x)
        loss_B = cross_entropy(model.classifier(features_BD), batch.y)
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
        self._refresh(split, model, state, val)

    @torch.no_grad()
    def _refresh(self, split: Split, model: Model, state: _Geometry, val: Split | None) -> None:
        """Set the classifier to the mean directions of the largest groups."""
        if not self.freeze_classifier:
            return
        source = split if self.statistics_from == "train" and not self.legacy else require_validation(val, self)
        majority_C = state.majority_C
        for group in majority_C[(source.count_G == 0)[majority_C] & state.present_G[majority_C]].tolist():
            raise BadInput(f"NCDebias needs validation rows of the group {source.group_name(group)}, got none")
        # Train mode takes all rows, because they enter the running statistics of batch normalisation.
        rows = None if self.legacy else torch.nonzero(source.group == majority_C[source.y]).flatten()
        with model.mode(training=self.legacy):
            sum_GD = sum(
                sum_per_group(at_least_single(model.encoder(batch.x)), groups_of(batch, self), source.n_groups)
                for batch in in_chunks(source, rows)
            )
        assert isinstance(sum_GD, Tensor)
        model.classifier.weight.copy_(F.normalize(sum_GD[majority_C], dim=1))
        if model.classifier.bias is not None and not self.legacy:
            model.classifier.bias.zero_()
