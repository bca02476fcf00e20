"""Focal loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods._base import Method, State, require_range
from evenhand.methods._classes import sigmoid_focal, softmax_focal
from evenhand.model import Model


@dataclass(frozen=True)
class Focal(Method):
    """Plays down the rows that are already right with confidence, so that hard ones decide what is learned.

    Lin, Goyal, Girshick, He and Dollar (2017), Focal loss for dense object detection, Equations 4 and 5.

        softmax: loss_B = (1 - p_B) ** gamma * -log(p_B), where p_B is the softmax probability of the row's class
        sigmoid: loss_B = the sum over classes of the same, where each class is a yes-or-no question of its own
        loss    = loss_B.mean()

    Attributes:
        gamma: at least 0, 2 in the paper; 0 is cross-entropy (softmax) or binary cross-entropy (sigmoid).
        form: "softmax", or "sigmoid" as in the paper, where objects of no class at all exist.
        alpha: for sigmoid, in (0, 1): weight of the row's own class, all others have 1 - alpha; 0.25 in the paper;
            none weights all terms 1.
        prior: for sigmoid, in (0, 1): the probability with which every class begins, by the classifier's bias; 0.01 in
            the paper; none leaves the classifier alone.

    Raises:
        BadInput: an option outside its range, alpha or prior with softmax, or a prior for a classifier without bias.

    Differs from the authors' code: softmax unless asked, as every row has one class; divided by the rows, each of which
    has one positive class, not by the anchors that hit an object.
    """

    gamma: float = 2.0
    form: Literal["softmax", "sigmoid"] = "softmax"
    alpha: float | None = None
    prior: float | None = None

    source = "https://github.com/facebookresearch/Detectron"

    def __post_init__(self) -> None:
        require_range(self, "gamma", 0)
        for option in ("alpha", "prior"):
            value = getattr(self, option)
            if value is None:
                continue
            if self.form == "softmax":
                raise BadInput(f"{option} of Focal is for form=sigmoid only")
            if not 0 < value < 1:
                raise BadInput(f"{option} of Focal must be in (0, 1) or none, got {value!r}")

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        if self.prior is not None:
            if model.classifier.bias is None:
                raise BadInput("prior of Focal needs a classifier with a bias")
            model.classifier.bias.fill_(math.log(self.prior / (1 - self.prior)))
        return State()

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        logits_BC = model(batch.x)
        if self.form == "sigmoid":
            return sigmoid_focal(logits_BC, batch.y, self.gamma, self.alpha).mean()
        return softmax_focal(logits_BC, batch.y, self.gamma).mean()
