"""Effective-frequency reweighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import at_least_single, cross_entropy
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_range
from evenhand.methods._classes import class_balanced_weights
from evenhand.methods.erm import ERM
from evenhand.model import Model, in_chunks


class _Classes(State):
    def __init__(self, frequency_C: Tensor, weight_C: Tensor, offset_C: Tensor) -> None:
        super().__init__()
        self.frequency_C = nn.Buffer(frequency_C)  # EF, in (0, 1]
        self.weight_C = nn.Buffer(weight_C)
        self.offset_C = nn.Buffer(offset_C)


@dataclass(frozen=True)
class EFReweight(Method):
    """Treats the classes that a plainly trained model finds hard as if they were rare. Needs no groups.

    Cui, Zhu, Wen, Qi, Yu and Zhang (2024), Classes are not equal: an empirical study on image recognition fairness,
    Equation 11 and Table 4, with Cui et al. (2019) or Menon et al. (2021).

        frequency_C = mean of the plain model's probability of their own class over validation rows of each class
        cb:          weight_C = (1 - beta) / (1 - beta ** (frequency_C * count_C)), scaled to sum to C
                     loss = (weight_C[y_B] * cross_entropy(logits_BC, y_B)).mean()
        logitadjust: offset_C = tau * log(frequency_C / frequency_C.sum())
                     loss = cross_entropy(logits_BC + offset_C, y_B).mean()

    The paper does not say how a fraction enters the class-balanced weights (`scale`), nor which model gives it: here
    it is a plain training of its own, the best epoch of which is judged once.

    Attributes:
        variant: "cb" weights the loss by class; "logitadjust" moves the logits in training.
        beta: of cb, in [0, 1]; 0 weights all classes equally, 1 by the inverse of the effective frequency.
        scale: of cb: "count" multiplies the frequency by the class's training rows; "fraction" takes it as it is, which
            for any beta near 1 is inverse weighting.
        tau: of logitadjust, at least 0; 0 is plain training.
        reference_epochs: epochs of the plain training before, at least 1; none takes those of the run.
        restart: begin again from the initial weights; False goes on from the plain model.

    Raises:
        BadInput: no validation split, a class without validation rows, or an option outside its range.
    """

    variant: Literal["cb", "logitadjust"] = "cb"
    beta: float = 0.9999
    scale: Literal["count", "fraction"] = "count"
    tau: float = 1.0
    reference_epochs: int | None = None
    restart: bool = True

    source = "https://arxiv.org/abs/2402.18133"

    def __post_init__(self) -> None:
        require_range(self, "beta", 0, 1)
        require_range(self, "tau", 0)
        if self.reference_epochs is not None:
            require_range(self, "reference_epochs", 1)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(ERM(), epochs=self.reference_epochs, keep="best"), Stage(self, restart=self.restart))

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        if val is None:
            raise BadInput("EFReweight needs a validation split: start(train, model, val)")
        with model.evaluating():
            probability_NC = torch.cat([at_least_single(model(batch.x)).softmax(1) for batch in in_chunks(val)])
        frequency_C = effective_frequency(probability_NC.to(loss_dtype(model)), val.y)
        for c in torch.nonzero(frequency_C.isnan()).flatten().tolist():
            name = val.class_names[c] if val.class_names else str(c)
            raise BadInput(f"EFReweight needs validation rows of every class; there are none of {name}")
        frequency_C = frequency_C.clamp(min=torch.finfo(frequency_C.dtype).tiny)
        size_C = frequency_C * split.count_C if self.scale == "count" else frequency_C
        weight_C = class_balanced_weights(size_C, self.beta)
        return _Classes(frequency_C, weight_C, self.tau * (frequency_C / frequency_C.sum()).log())

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Classes)
        logits_BC = at_least_single(model(batch.x))
        if self.variant == "logitadjust":
            return F.cross_entropy(logits_BC + state.offset_C, batch.y)
        loss_B = cross_entropy(logits_BC, batch.y)
        return torch.dot(state.weight_C.index_select(0, batch.y), loss_B) / len(loss_B)


def effective_frequency(probability_NC: Tensor, y_N: Tensor) -> Tensor:
    """(C,) mean probability of their own class over the rows of each class, in [0, 1]; NaN for a class without rows."""
    count_C = torch.bincount(y_N, minlength=probability_NC.shape[1])
    return prediction_bias(probability_NC, y_N)[0] / count_C


def prediction_bias(probability_NC: Tensor, y_N: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) probability mass that each class has on its own rows (G_p), and on those of other classes (G_n).

    Cui et al. (2024), Equations 3 and 4. Their sum is the number of rows of each class where a classifier with a bias
    has trained to a stationary point without weight decay on these rows (Equation 5), but not in general.
    """
    own_NC = F.one_hot(y_N, probability_NC.shape[1]).to(probability_NC.dtype)
    own_C = (probability_NC * own_NC).sum(0)
    return own_C, probability_NC.sum(0) - own_C
