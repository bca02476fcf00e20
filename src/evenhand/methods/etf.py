"""Fixed simplex-ETF classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import count_per_group
from evenhand.losses import at_least_single
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_range
from evenhand.methods._mixing import unrecorded_logits
from evenhand.methods._normalise import BatchNorm
from evenhand.model import Model


class _Norms(State):
    def __init__(self, one_C: Tensor) -> None:
        super().__init__()
        self.one_C = nn.Buffer(one_C, persistent=False)


class _UnitLength(nn.Module):
    """Rows scaled to length 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(at_least_single(x), dim=1)


@dataclass(frozen=True)
class ETF(Method):
    """Fixes the classifier to directions as far apart as can be, and trains the encoder towards them. Needs no groups.

    Yang, Chen, Li, Xie, Lin and Tao (2022), Inducing neural collapse in imbalanced learning: do we really need a
    learnable classifier at the end of deep neural network?, Equations 1 and 6.

        weight_CD = (sqrt(C / (C - 1)) * U_DC @ (eye(C) - 1 / C)).T, where the columns of U_DC are orthonormal
        dot: loss = ((logit_B - norm_B * length_B) ** 2 / length_B).mean() / 2, where logit_B is that of the row's
             class, length_B that of its feature, constant for the gradient, and norm_B that of its class's vector (1)
        ce:  loss = cross_entropy(logits_BC, y_B).mean()

    `prepare` appends batch normalisation and scaling to length 1 to the encoder; the bias is 0; predictions are
    argmax(logits). The classifier is drawn in `start` by torch's global generator and stored with the model.

    Attributes:
        objective: "dot" or "ce" (without temperature).
        features: what follows the encoder: "unit" (batch normalisation, then length 1; the authors' for CIFAR), "norm"
            (batch normalisation only; theirs for ImageNet) or "plain" (nothing).
        fix_norm: no learned scale and shift in the batch normalisation.
        construction: "random" orthonormal U, from uniform numbers in [0, 1), or "identity": the first C axes.
        batch_norms: in training, multiply each class's vector by sqrt(mean rows a class present / rows of the class)
            in the batch; absent classes keep length 1.
        length_weight: at least 0; adds length_weight * length_B.mean() (with gradient), for features of free length.
        mixup: a of the Beta(a, a) by which inputs are mixed with those of shuffled rows, the losses likewise; 0 is off.

    Raises:
        BadInput: an option outside its range, fewer features than classes, or fewer than two classes.

    Differs from the authors' code: the vectors are part of the stored model; one mixing coefficient a batch as there,
    but drawn by torch's generator.
    """

    objective: Literal["dot", "ce"] = "dot"
    features: Literal["unit", "norm", "plain"] = "unit"
    fix_norm: bool = False
    construction: Literal["random", "identity"] = "random"
    batch_norms: bool = False
    length_weight: float = 0.0
    mixup: float = 0.0

    source = "https://github.com/NeuralCollapseApplications/ImbalancedLearning"

    def __post_init__(self) -> None:
        require_range(self, "length_weight", 0)
        require_range(self, "mixup", 0)

    def prepare(self, model: Model) -> Model:
        if self.features == "plain":
            return model
        n_features = model.classifier.in_features
        parts: list[nn.Module] = [BatchNorm(n_features, affine=not self.fix_norm)]
        if self.features == "unit":
            parts.append(_UnitLength())
        return Model(nn.Sequential(model.encoder, *parts).to(model.classifier.weight), model.classifier)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(self, trains="encoder"),)

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        weight = model.classifier.weight
        n_classes, n_features = weight.shape
        if n_classes < 2 or n_features < n_classes:
            raise BadInput(f"ETF needs at least 2 classes and as many features, got {n_classes} and {n_features}")
        if self.construction == "identity":
            frame_DC = torch.eye(n_features, n_classes, dtype=torch.float64)
        else:
            frame_DC = torch.linalg.qr(torch.rand(n_features, n_classes, dtype=torch.float64)).Q
        weight.copy_(simplex_etf(frame_DC))
        if model.classifier.bias is not None:
            model.classifier.bias.zero_()
        model.classifier.requires_grad_(False)
        return _Norms(weight.new_ones(n_classes, dtype=loss_dtype(model)))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Norms)
        if self.mixup == 0:
            return self._loss(model.encoder(batch.x), (batch.y,), (1.0,), model, state)
        share = float(torch.distributions.Beta(self.mixup, self.mixup).sample())
        other = torch.randperm(len(batch.y)).to(batch.y.device)
        mixed = share * batch.x + (1 - share) * batch.x.index_select(0, other)
        return self._loss(
            model.encoder(mixed), (batch.y, batch.y.index_select(0, other)), (share, 1 - share), model, state
        )

    def _loss(
        self, features_BD: Tensor, labels: tuple[Tensor, ...], shares: tuple[float, ...], model: Model, state: _Norms
    ) -> Tensor:
        """The labels' losses, each times its share."""
        of_one = len(labels) == 1
        logits_BC = at_least_single(model.classifier(features_BD) if of_one else unrecorded_logits(model, features_BD))
        length_B = at_least_single(features_BD).norm(dim=1)
        total = self.length_weight * length_B.mean() if self.length_weight > 0 else logits_BC.new_zeros(())
        for y_B, share in zip(labels, shares, strict=True):
            norm_C = self._norms(y_B, state)
            if self.objective == "ce":
                total = total + share * F.cross_entropy(logits_BC * norm_C, y_B)
            else:
                norm_B = norm_C.index_select(0, y_B)
                logit_B = logits_BC.gather(1, y_B[:, None]).squeeze(1) * norm_B
                total = total + share * dot_regression(logit_B, norm_B, length_B)
        return total

    def _norms(self, y_B: Tensor, state: _Norms) -> Tensor:
        """(C,) lengths of the class vectors in this batch."""
        if not self.batch_norms:
            return state.one_C
        count_C = count_per_group(y_B, len(state.one_C), state.one_C.dtype)
        mean = len(y_B) / count_C.clamp(max=1).sum()
        return torch.where(count_C > 0, (mean / count_C.clamp(min=1)).sqrt(), 1)


def simplex_etf(frame_DC: Tensor) -> Tensor:
    """(C, D) C unit vectors with cosines -1 / (C - 1), in the space of the orthonormal columns of `frame_DC`."""
    n_classes = frame_DC.shape[1]
    centred_DC = frame_DC - frame_DC.mean(1, keepdim=True)
    return centred_DC.T * math.sqrt(n_classes / (n_classes - 1))


def dot_regression(logit_B: Tensor, norm_B: Tensor, length_B: Tensor) -> Tensor:
    """Scalar half mean squared distance of each logit to the largest it can be, over the feature's length."""
    length_B = length_B.detach().clamp(min=1e-8)
    distance_B = (logit_B - norm_B * length_B).square() / length_B
    return distance_B.mean() / 2
