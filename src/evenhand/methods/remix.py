"""ReMix: rebalanced mixup."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.methods._base import Method, State, loss_dtype, require_range
from evenhand.methods._classes import class_balanced_weights
from evenhand.methods._mixing import Level, Pairs, mixed_logits, permutation, share
from evenhand.model import Model


class _Classes(State):
    def __init__(self, count_C: Tensor, balanced_C: Tensor) -> None:
        super().__init__()
        self.count_C = nn.Buffer(count_C, persistent=False)
        self.balanced_C = nn.Buffer(balanced_C, persistent=False)
        self.weight_C = nn.Buffer(torch.ones_like(balanced_C))
        self.epoch = nn.Buffer(torch.zeros_like(balanced_C[0]))


@dataclass(frozen=True)
class ReMix(Method):
    """Mixup whose labels go to the rarer class where two classes differ much in size; needs no groups.

    Chou, Chang, Pan, Wei and Juan (2020), Remix: Rebalanced mixup.

        x_mixed       = share * x_B + (1 - share) * x_B[partner_B]              share ~ Beta(alpha, alpha), one a batch
        label_share_B = 0      where n_i / n_j >= imbalance and share < threshold      n: training rows of the classes
                        1      where n_i / n_j <= 1 / imbalance and 1 - share < threshold        of row and partner
                        share  elsewhere
        loss          = (label_share_B * weight_C[y_i] * loss_i + (1 - label_share_B) * weight_C[y_j] * loss_j).mean()

    Partners are a random permutation of the batch. A mixture has no single label: training figures of single rows, and
    so of groups, are not recorded.

    Attributes:
        alpha: at least 0; 0 mixes nothing, 1 draws the share uniformly.
        imbalance: kappa, at least 1: from which ratio of class sizes on labels are moved.
        threshold: tau, in [0, 1]: largest share that a label may lose altogether; 0 is mixup.
        defer: epochs with equal class weights before class-balanced ones (the authors: 160 of 200, 250 of 300), at
            least 0; none never weights classes.
        beta: of the class-balanced weights (see cbloss), in [0, 1].
        level: "input"; "feature", what the encoder gives; or "auto": inputs, unless they are whole numbers (tokens).

    Raises:
        BadInput: an option outside its range, or integer inputs at level "input".

    Differs from the authors' code: theirs was not found; from the re-implementation above in that no second pass over
    the un-mixed batch is made, which would move the statistics of batch normalisation.
    """

    alpha: float = 1.0
    imbalance: float = 3.0
    threshold: float = 0.5
    defer: int | None = None
    beta: float = 0.9999
    level: Level = "auto"

    source = "https://github.com/ntucllab/imbalanced-DL"

    def __post_init__(self) -> None:
        require_range(self, "alpha", 0)
        require_range(self, "imbalance", 1)
        require_range(self, "threshold", 0, 1)
        require_range(self, "beta", 0, 1)
        if self.defer is not None:
            require_range(self, "defer", 0)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        count_C = split.count_C.to(loss_dtype(model))
        state = _Classes(count_C, class_balanced_weights(count_C, self.beta))
        self._set_weights(state)
        return state

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Classes)
        pairs = Pairs(None, permutation(batch.y), share(self.alpha))
        logits_BC = mixed_logits(model, batch.x, pairs.mix, self.level)
        count_B = state.count_C[batch.y]
        label_share_B = self.label_shares(pairs.share, count_B, count_B[pairs.second])
        weight_C = None if self.defer is None else state.weight_C
        return pairs._replace(share=label_share_B).losses(logits_BC, batch.y, weight_C).mean()

    def label_shares(self, share: float | Tensor, count_B: Tensor, other_B: Tensor) -> Tensor:
        """(B,) share of the first label where the classes of the two rows have these training rows."""
        share_B = torch.as_tensor(share, dtype=count_B.dtype).to(count_B.device)
        give_B = (count_B >= self.imbalance * other_B) & (share_B < self.threshold)
        take_B = (self.imbalance * count_B <= other_B) & (1 - share_B < self.threshold)
        return torch.where(give_B, 0, torch.where(take_B, 1, share_B))

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Classes)
        state.epoch.add_(1)
        self._set_weights(state)

    def _set_weights(self, state: _Classes) -> None:
        if self.defer is not None:
            state.weight_C.copy_(torch.where(state.epoch >= self.defer, state.balanced_C, state.weight_C))
