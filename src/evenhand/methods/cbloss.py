"""Class-balanced loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, State, loss_dtype, require_range
from evenhand.methods._classes import class_balanced_weights, sigmoid_focal
from evenhand.model import Model


class _Weights(State):
    def __init__(self, balanced_C: Tensor, defer: int) -> None:
        super().__init__()
        self.balanced_C = nn.Buffer(balanced_C, persistent=False)
        self.weight_C = nn.Buffer(torch.ones_like(balanced_C) if defer else balanced_C.clone())
        self.epoch = nn.Buffer(torch.zeros_like(balanced_C[0]))


@dataclass(frozen=True)
class CBLoss(Method):
    """Weights classes by the inverse of their effective number of rows. Needs no groups.

    Cui, Jia, Lin, Song and Belongie (2019), Class-balanced loss based on effective number of samples, Equations 2, 9,
    11 and 12; deferred weights: Cao, Wei, Gaidon, Arechiga and Ma (2019).

        weight_C = (1 - beta) / (1 - beta ** count_C), times a constant that makes them sum to C
        loss     = (weight_C[y_B] * loss_B).mean()

    Classes without training rows have weight 0 and are not counted in C.

    Attributes:
        beta: in [0, 1]; 0 weights all classes equally, 1 by inverse frequency; .9 to .9999 in the paper.
        form: what `loss_B` is: "softmax" (cross-entropy), "sigmoid" (sum over the classes of binary cross-entropies)
            or "focal" (the latter, each term times (1 - p) ** gamma, where p is the probability of what is true).
        gamma: of the focal form, at least 0; .5 to 2 in the paper; 0 is the sigmoid form.
        reduction: "mean" divides by the rows of the batch, as the authors do; "weighted" divides by the sum of their
            weights, as PyTorch's cross-entropy does.
        defer: epochs with equal weights before the balanced ones, at least 0.
        first_bias: for sigmoid and focal, begin with all probabilities at 1 / C, by the classifier's bias; False leaves
            the classifier alone.

    Raises:
        BadInput: an option outside its range.

    Differs from the authors' code: a class without rows has weight 0 instead of an infinite one; weight decay is that
    of the optimizer, for biases too.
    """

    beta: float = 0.9999
    form: Literal["softmax", "sigmoid", "focal"] = "softmax"
    gamma: float = 1.0
    reduction: Literal["mean", "weighted"] = "mean"
    defer: int = 0
    first_bias: bool = True

    source = "https://github.com/richardaecn/class-balanced-loss"

    def __post_init__(self) -> None:
        require_range(self, "beta", 0, 1)
        require_range(self, "gamma", 0)
        require_range(self, "defer", 0)

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        if self.form != "softmax" and self.first_bias and model.classifier.bias is not None and split.n_classes > 1:
            model.classifier.bias.fill_(-math.log(split.n_classes - 1))
        return _Weights(class_balanced_weights(split.count_C.to(loss_dtype(model)), self.beta), self.defer)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Weights)
        loss_B = self._losses(model(batch.x), batch.y)
        weight_B = state.weight_C.index_select(0, batch.y)
        total = torch.dot(weight_B, loss_B)
        return total / (weight_B.sum() if self.reduction == "weighted" else len(loss_B))

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Weights)
        state.epoch.add_(1)
        state.weight_C.copy_(torch.where(state.epoch >= self.defer, state.balanced_C, state.weight_C))

    def _losses(self, logits_BC: Tensor, y_B: Tensor) -> Tensor:
        if self.form == "softmax":
            return cross_entropy(logits_BC, y_B)
        return sigmoid_focal(logits_BC, y_B, self.gamma if self.form == "focal" else 0.0)
