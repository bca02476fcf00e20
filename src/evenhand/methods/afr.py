"""Automatic feature reweighting."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import at_least_single, cross_entropy, full_precision
from evenhand.methods._base import Method, Stage, State, require_range, require_validation
from evenhand.methods._last_layer import FirstPart, constant_features, features_of, two_parts, worst_accuracies
from evenhand.model import Model


class _Reweighted(State):
    """What was chosen, and the rows' weights: mean 1 over the rows of the second part, 0 for those of the first."""

    def __init__(self, model: Model, n_rows: int) -> None:
        super().__init__()
        weight_CD, bias_C = _layer(model)
        self.first_CD, self.first_C = nn.Buffer(weight_CD), nn.Buffer(bias_C)
        self.weight_N = nn.Buffer(weight_CD.new_zeros(n_rows))
        self.gamma, self.penalty = nn.Buffer(weight_CD.new_zeros(())), nn.Buffer(weight_CD.new_zeros(()))
        self.score = nn.Buffer(weight_CD.new_zeros(()))  # worst-group accuracy on validation of what was chosen


@dataclass(frozen=True)
class AFR(Method):
    """Retrains the last layer on rows the encoder has not seen, the more so those that it gets wrong.

    Qiu, Potapczynski, Izmailov and Wilson (2023), Simple and fast group robustness by automatic feature reweighting,
    Equations 1 and 2. Groups are used in validation only.

        stage 1: plain training on a share of the training rows
        stage 2, on the others, from stage 1's last layer (first_CD, first_C):
            weight_N  proportional to exp(-gamma * p_N) / count_C[y_N], where p_N is stage 1's probability of the class
            minimises (weight_N * cross_entropy(logits_NC, y_N)).sum()
                      + penalty * (((weight_CD - first_CD) ** 2).sum() + ((bias_C - first_C) ** 2).sum())

    by `steps` of gradient descent on all rows at once, for every gamma and penalty. What has the largest worst-group
    accuracy on validation at some step is taken; of equal ones the first gamma, penalty and step.

    Attributes:
        gamma: values to try, each at least 0; 0 only balances the classes. 4 to 20 for Waterbirds, 1 to 3 for CelebA.
        penalty: values of lambda to try, each at least 0; 0 to .3 for Waterbirds.
        share: of the training rows for stage 1, in (0, 1).
        steps: of stage 2, at least 1; 500 for Waterbirds, 1000 for CelebA.
        lr: of stage 2, per step, above 0.
        clip: largest L2 norm of stage 2's gradient, above 0; none does not clip.
        check_every: steps between two looks at validation, at least 1; the authors look after each.
        rebalance: divide weights by the class's rows among those of stage 2.
        residual: what is added to stage 1's last layer begins at "zero" (as in the authors' program), or "random" as a
            fresh linear layer does (as in their notebook).
        split_seed: by which the rows are parted, the same for all runs.
        erm_epochs: epochs of stage 1, at least 1; none takes those of the run.
        erm_keep: which of stage 1's epochs goes on: the "last" (the authors' for Waterbirds), or the "best".

    Raises:
        BadInput: no validation split with groups, fewer than two training rows, or an option outside its range.

    Differs from the authors' code: all values of gamma and penalty are tried at once and on fewer points; validation is
    looked at every `check_every` steps. A class that is missing among the rows of stage 2 is warned of.
    """

    gamma: tuple[float, ...] = (4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0)
    penalty: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    share: float = 0.8
    steps: int = 500
    lr: float = 0.01
    clip: float | None = 1.0
    check_every: int = 10
    rebalance: bool = True
    residual: Literal["zero", "random"] = "zero"
    split_seed: int = 21
    erm_epochs: int | None = None
    erm_keep: Literal["last", "best"] = "last"

    needs_groups = True
    source = "https://github.com/AndPotap/afr"

    def __post_init__(self) -> None:
        for option in ("gamma", "penalty"):
            values = getattr(self, option)
            if not values or not min(values) >= 0:
                raise BadInput(f"{option} of AFR must be values of at least 0, got {values}")
        for option in ("steps", "check_every"):
            require_range(self, option, 1)
        require_range(self, "lr", 0, above=True)
        if self.clip is not None:
            require_range(self, "clip", 0, above=True)
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 1)
        if not 0 < self.share < 1:
            raise BadInput(f"share of AFR must be in (0, 1), got {self.share!r}")

    def stages(self) -> tuple[Stage, ...]:
        first = FirstPart(self.share, self.split_seed)
        return (
            Stage(first, epochs=self.erm_epochs, keep=self.erm_keep),
            Stage(self, epochs=0, trains="classifier"),
        )

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        val = require_validation(val, self)
        if len(split) < 2:
            raise BadInput(f"AFR needs at least two training rows, one for each stage, got {len(split)}")
        state = _Reweighted(model, len(split))
        rows = two_parts(len(split), self.share, self.split_seed)[1].to(split.y.device)
        y_N = split.y[rows]
        if missing := sorted(set(split.y.tolist()) - set(y_N.tolist())):
            warnings.warn(f"AFR: stage 2 has no rows of the classes {missing}", stacklevel=2)
        features_ND, val_ND = features_of(split, model, rows), features_of(val, model)
        with full_precision(y_N.device):
            self._retrain(features_ND, y_N, val_ND, val, rows=rows, model=model, state=state)
        return state

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        rows = two_parts(len(split), self.share, self.split_seed)[1]
        return sampling.in_batches(rows[sampling.shuffled(len(rows), rng)], size)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        """Its mean over batches of the second part is the objective of stage 2."""
        assert isinstance(state, _Reweighted)
        loss_B = cross_entropy(model.classifier(constant_features(batch, model)), batch.y)
        weight_CD, bias_C = model.classifier.weight, model.classifier.bias
        distance = (weight_CD - state.first_CD).square().sum()
        if bias_C is not None:
            distance = distance + (bias_C - state.first_C).square().sum()
        return (state.weight_N[batch.rows] * loss_B).mean() + state.penalty * distance

    def _retrain(
        self,
        x_ND: Tensor,
        y_N: Tensor,
        val_ND: Tensor,
        val: Split,
        *,
        rows: Tensor,
        model: Model,
        state: _Reweighted,
    ) -> None:
        """Set the model's last layer and the state to the best gamma, penalty and step."""
        first_CD, first_C = state.first_CD.to(x_ND.dtype), state.first_C.to(x_ND.dtype)
        p_N = (x_ND @ first_CD.T + first_C).softmax(1).gather(1, y_N[:, None]).squeeze(1)
        weights = [weights_of(p_N, y_N, gamma, len(first_C), rebalance=self.rebalance) for gamma in self.gamma]
        tried = [(g, penalty) for g in range(len(self.gamma)) for penalty in self.penalty]
        weight_NM = torch.stack([weights[g] for g, _ in tried], 1)
        penalty_M = x_ND.new_tensor([penalty for _, penalty in tried])
        # The bias is one more column of the weights, and of the rows.
        first_CE = torch.cat([first_CD, first_C[:, None]], 1)
        has_bias = model.classifier.bias is not None
        x_NE, val_NE = (torch.cat([x, torch.full_like(x[:, :1], float(has_bias))], 1) for x in (x_ND, val_ND))
        layer_MCE, score_M = self._descend(
            x_NE, y_N, val_NE, val, weight_NM=weight_NM, penalty_M=penalty_M, first_CE=first_CE, has_bias=has_bias
        )
        best = int(score_M.argmax())
        model.classifier.weight.copy_(layer_MCE[best, :, :-1])
        if has_bias:
            model.classifier.bias.copy_(layer_MCE[best, :, -1])
        state.weight_N[rows] = (weight_NM[:, best] * len(y_N)).to(state.weight_N.dtype)
        state.gamma.fill_(self.gamma[tried[best][0]])
        state.penalty.fill_(tried[best][1])
        state.score.copy_(score_M[best])

    def _descend(
        self,
        x_NE: Tensor,
        y_N: Tensor,
        val_NE: Tensor,
        val: Split,
        *,
        weight_NM: Tensor,
        penalty_M: Tensor,
        first_CE: Tensor,
        has_bias: bool,
    ) -> tuple[Tensor, Tensor]:
        """(M, C, E) the best of each M's last layers, and (M,) its worst-group accuracy on validation."""
        n_tried, n_classes = weight_NM.shape[1], len(first_CE)
        own_NC = nn.functional.one_hot(y_N, n_classes).to(x_NE.dtype)
        residual_MCE = self._first_residual(first_CE, has_bias).repeat(n_tried, 1, 1)
        best_MCE, score_M = first_CE + residual_MCE, weight_NM.new_full((n_tried,), -1).double()
        for step in range(1, self.steps + 1):
            logit_NMC = _logits(x_NE, first_CE + residual_MCE)
            error_NMC = weight_NM[:, :, None] * (logit_NMC.softmax(2) - own_NC[:, None])
            slope_MCE = (error_NMC.flatten(1).T @ x_NE).view_as(residual_MCE)
            slope_MCE += 2 * penalty_M[:, None, None] * residual_MCE
            if self.clip is not None:
                slope_MCE *= (self.clip / slope_MCE.flatten(1).norm(dim=1).clamp(min=self.clip))[:, None, None]
            residual_MCE -= self.lr * slope_MCE
            if step % self.check_every == 0 or step == self.steps:
                guess_NM = _logits(val_NE, first_CE + residual_MCE).argmax(2)
                found_M = worst_accuracies(guess_NM, val.y, val.group, val.n_groups)
                best_MCE = torch.where((found_M > score_M)[:, None, None], first_CE + residual_MCE, best_MCE)
                score_M = torch.maximum(score_M, found_M)
        return best_MCE, score_M

    def _first_residual(self, first_CE: Tensor, has_bias: bool) -> Tensor:
        if self.residual == "zero":
            return torch.zeros_like(first_CE)
        layer = nn.Linear(first_CE.shape[1] - 1, len(first_CE))
        bias_C = layer.bias if has_bias else torch.zeros_like(layer.bias)
        return torch.cat([layer.weight, bias_C[:, None]], 1).detach().to(first_CE)


def weights_of(p_N: Tensor, y_N: Tensor, gamma: float, n_classes: int, *, rebalance: bool = True) -> Tensor:
    """(N,) weights that sum to 1, proportional to exp(-gamma * p_N), divided by the rows of the class to `rebalance`.

    `p_N` are probabilities of the rows' own classes.
    """
    log_N = -gamma * p_N
    if rebalance:
        log_N = log_N - torch.bincount(y_N, minlength=n_classes).to(p_N.dtype)[y_N].log()
    return log_N.softmax(0)


def _logits(x_NE: Tensor, layer_MCE: Tensor) -> Tensor:
    """(N, M, C)"""
    return (x_NE @ layer_MCE.flatten(0, 1).T).view(len(x_NE), *layer_MCE.shape[:2])


def _layer(model: Model) -> tuple[Tensor, Tensor]:
    """Copies of the last layer's weights and bias (zeros if it has none)."""
    weight_CD = at_least_single(model.classifier.weight.detach().clone())
    bias = model.classifier.bias
    return weight_CD, weight_CD.new_zeros(len(weight_CD)) if bias is None else at_least_single(bias.detach().clone())
