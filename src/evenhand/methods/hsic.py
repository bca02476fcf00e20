"""Independence of outputs or features from the sensitive attribute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.batch import Batch, Split
from evenhand.losses import at_least_single, full_precision, mean_cross_entropy
from evenhand.methods._base import Method, State, groups_of, loss_dtype, require_groups, require_range
from evenhand.model import Model


class _Kernel(State):
    """(A, A) kernel between combinations of attribute values: exp(-how many attributes differ)."""

    def __init__(self, sizes: tuple[int, ...], like: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        value_AK = torch.cartesian_prod(*map(torch.arange, sizes)).view(-1, len(sizes))
        differing_AA = (value_AK[:, None] != value_AK).sum(2)
        self.kernel_AA = nn.Buffer((-differing_AA.to(like.device, dtype)).exp(), persistent=False)


@dataclass(frozen=True)
class HSIC(Method):
    """Adds the Hilbert-Schmidt independence criterion between what the model says and the attribute to the loss.

    Gretton, Bousquet, Smola and Schölkopf (2005), Equation 9, as in the benchmark of Han et al. (2023), FFB.

        kernel_BB    = exp(-|u_B - u_B'| ** 2 / bandwidth)    u: probability of class 1, softmax (C > 2), or features
        attribute_BB = exp(-number of attributes that differ)
        loss = cross_entropy(logits_BC, y_B).mean() + weight * trace(attribute_BB @ H @ kernel_BB @ H) / (B - 1) ** 2

    H = I - 1 / B centres. A batch of one row, or of one attribute value, adds 0. Cost grows with B ** 2.

    Attributes:
        weight: lambda, at least 0; 0 is plain training.
        on: "output", as the benchmark does, or "feature": the encoder's features, as Lu, Chai and Wang (2024) describe.
        bandwidth: plain divisor of squared distances, above 0; none is 1 on outputs and the median over pairs of
            different rows on features (constant for the gradient), where 1 would saturate.

    Raises:
        BadInput: no attributes or one value only, or an option outside its range.

    Differs from the authors' code: attributes of more than two values are names, not numbers, so that two values differ
    by 1 or not at all; classes beyond two; features.
    """

    weight: float = 1.0
    on: Literal["output", "feature"] = "output"
    bandwidth: float | None = None

    needs_groups = True
    source = "https://github.com/ahxt/fair_fairness_benchmark"

    def __post_init__(self) -> None:
        require_range(self, "weight", 0)
        if self.bandwidth is not None:
            require_range(self, "bandwidth", 0, above=True)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        return _Kernel(split.attribute_sizes, split.y, loss_dtype(model))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Kernel)
        attribute_B = groups_of(batch, self) % len(state.kernel_AA)
        features_BD = model.encoder(batch.x)
        logits_BC = model.classifier(features_BD)
        loss = mean_cross_entropy(logits_BC, batch.y)
        if self.weight == 0:
            return loss
        with full_precision(loss.device):
            values_BD = at_least_single(features_BD) if self.on == "feature" else said(at_least_single(logits_BC))
            bandwidth = self.bandwidth or (median_distance(values_BD) if self.on == "feature" else 1.0)
            kernel_BB = (-squared_distances(values_BD) / bandwidth).exp()
            return loss + self.weight * dependence(kernel_BB, attribute_B, state.kernel_AA)


def dependence(kernel_BB: Tensor, value_B: Tensor, kernel_AA: Tensor) -> Tensor:
    """Scalar HSIC, at least 0, of rows with this kernel matrix and a variable of A values with that one.

    Differentiable in `kernel_BB`.
    """
    one_hot_BA = F.one_hot(value_B, len(kernel_AA)).to(kernel_AA.dtype)
    centred_BA = one_hot_BA - one_hot_BA.mean(0)
    return (kernel_BB * (centred_BA @ kernel_AA @ centred_BA.T)).sum() / max(len(kernel_BB) - 1, 1) ** 2


def said(logits_BC: Tensor) -> Tensor:
    """(B, 1) probability of class 1, or (B, C) softmax of more than two classes."""
    prob_BC = logits_BC.softmax(1)
    return prob_BC if prob_BC.shape[1] > 2 else prob_BC[:, 1:]


def squared_distances(values_BD: Tensor) -> Tensor:
    """(B, B) squared Euclidean distance of every two rows, to rounding (it may be a little below 0)."""
    if values_BD.shape[1] == 1:
        return (values_BD - values_BD.T).square()
    values_BD = values_BD - values_BD.mean(0).detach()  # shorter vectors lose fewer digits below
    norm_B = values_BD.square().sum(1)
    return norm_B[:, None] + norm_B - 2 * values_BD @ values_BD.T


def median_distance(values_BD: Tensor) -> Tensor:
    """Scalar (lower) median of the squared distances of two different rows, without gradient; 1 where that is 0."""
    n_rows = len(values_BD)
    middle = n_rows + (n_rows * (n_rows - 1) + 1) // 2  # the diagonal's zeros are the smallest B of all values
    distance_BB = squared_distances(values_BD.detach()).clamp(min=0).fill_diagonal_(0)
    median = distance_BB.flatten().kthvalue(middle).values
    return torch.where(median > 0, median, 1)
