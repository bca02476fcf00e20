"""LISA: selective augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from evenhand.batch import Batch, Split
from evenhand.methods._base import Method, State, groups_of, require_groups, require_range
from evenhand.methods._mixing import (
    Level,
    Pairs,
    balanced_batches,
    mixed_logits,
    partners,
    share,
    shares,
    unrecorded_logits,
    with_box,
)
from evenhand.model import Model

MANY_LABELS, LABELS_AT_ONCE = 10, 4  # of the authors: with more labels than that, so many at once


class _Sizes(State):
    def __init__(self, split: Split) -> None:
        super().__init__()
        self.n_classes, self.n_attributes = split.n_classes, split.n_attributes


@dataclass(frozen=True)
class LISA(Method):
    """Mixes rows of one class with different attributes, or of one attribute with different classes.

    Yao, Wang, Li, Zhang, Liang, Zou and Finn (2022), Improving out-of-distribution robustness via selective
    augmentation, for sub-population shifts.

        with probability same_label, one draw a batch:  partner of the same class, of another attribute value
        otherwise:                                      partner of the same attribute value, of another class
        x_mixed = share * x_B + (1 - share) * x_B[partner_B]; labels alike; loss = mean cross-entropy over the mixtures

    Batches have equally many rows of every group, drawn with replacement. Each row is mixed once, with a partner drawn
    uniformly from those in the batch that fit; a row that has none adds nothing. Several attributes count as one, their
    combination. A mixture has no single label: training figures of single rows, and so of groups, are not recorded.

    Attributes:
        same_label: p_sel, in [0, 1]: 1 keeps labels pure, 0 attributes.
        mix: "mixup" with a share of each row's own, or "cutmix" (images only) with one box for the batch.
        alpha: of the share ~ Beta(alpha, alpha), at least 0; 0 mixes nothing; none takes 2 for mixup and .2 for
            cutmix, which the authors' code draws from the option that it has for another method.
        by: "group"; or "label", as the authors do where attributes are many: batches are balanced over classes (of more
            than ten, four random ones at once) and partners are other rows of the same class.
        epoch: "all_rows", ceil(N / B) batches, or "smallest_group", until its rows would be used up, as the authors do.
        level: "input"; "feature", what the encoder gives; or "auto": inputs, unless they are whole numbers (tokens).

    Raises:
        BadInput: no attributes or one value only, an option outside its range, a batch size below the number of
            groups, integer inputs at level "input", or inputs that are not images for cutmix.

    Differs from the authors' code: rows are drawn with replacement instead of cutting batches to the shortest; every
    row, not half of them, is the first of a pair; attributes and classes beyond two.
    """

    same_label: float = 0.5
    mix: Literal["mixup", "cutmix"] = "mixup"
    alpha: float | None = None
    by: Literal["group", "label"] = "group"
    epoch: Literal["all_rows", "smallest_group"] = "all_rows"
    level: Level = "auto"

    needs_groups = True
    source = "https://github.com/huaxiuyao/LISA"

    def __post_init__(self) -> None:
        require_range(self, "same_label", 0, 1)
        if self.alpha is not None:
            require_range(self, "alpha", 0)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        return _Sizes(split)

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        label_N = split.y if self.by == "label" else split.group
        count = torch.unique(label_N.cpu(), return_counts=True)[1]
        few = LABELS_AT_ONCE if self.by == "label" and len(count) > MANY_LABELS else None
        n_batches = -(-len(split) // size)
        if self.epoch == "smallest_group":
            n_batches = max(int(count.min()) // max(size // (few or len(count)), 1), 1)
        return balanced_batches(label_N, size, n_batches, rng, labels_at_once=few)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Sizes)
        partner_B, has_one_B = self._partners(batch, state)
        if self.mix == "cutmix":
            x, left = with_box(batch.x, partner_B, share(0.2 if self.alpha is None else self.alpha))
            logits_BC = unrecorded_logits(model, model.encoder(x))
            pairs = Pairs(None, partner_B, left)
        else:
            share_B = shares(2.0 if self.alpha is None else self.alpha, len(partner_B))
            pairs = Pairs(None, partner_B, share_B.float().to(partner_B.device, non_blocking=True))
            logits_BC = mixed_logits(model, batch.x, pairs.mix, self.level)
        loss_B = pairs.losses(logits_BC, batch.y)
        weight_B = has_one_B.to(loss_B.dtype)
        return torch.dot(weight_B, loss_B) / weight_B.sum().clamp(min=1)

    def _partners(self, batch: Batch, state: _Sizes) -> tuple[Tensor, Tensor]:
        same_label = float(torch.rand(())) < self.same_label
        if self.by == "label":
            n_rows = len(batch.y)
            return partners(batch.y, torch.arange(n_rows, device=batch.y.device), state.n_classes, n_rows)
        attribute_B = groups_of(batch, self) % state.n_attributes
        if same_label:
            return partners(batch.y, attribute_B, state.n_classes, state.n_attributes)
        return partners(attribute_B, batch.y, state.n_attributes, state.n_classes)
