"""Deep feature reweighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import at_least_single, cross_entropy, full_precision
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
from evenhand.methods._last_layer import constant_features, features_of, worst_accuracies
from evenhand.methods._logistic import Form, Intercept, fit_l1_logistic
from evenhand.methods.erm import ERM
from evenhand.model import Model

TOLERANCE = 1e-4  # of the objective: the accuracy is settled long before


class _Chosen(State):
    """What the tuning chose, and what makes the objective of a batch."""

    def __init__(self, split: Split, n_features: int, dtype: torch.dtype) -> None:
        super().__init__()
        device = split.y.device
        self.mean_D = nn.Buffer(torch.zeros(n_features, dtype=dtype, device=device))
        self.scale_D = nn.Buffer(torch.ones(n_features, dtype=dtype, device=device))
        self.upweight_G = nn.Buffer(torch.ones(split.n_groups, dtype=dtype, device=device))
        self.upweight_C = nn.Buffer(torch.ones(split.n_classes, dtype=dtype, device=device))
        self.C = nn.Buffer(torch.ones((), dtype=dtype, device=device))
        self.penalty = nn.Buffer(torch.ones((), dtype=dtype, device=device))  # 1 / (C * rows of a subsample)


@dataclass(frozen=True)
class DFR(Method):
    """Refits the last layer of a plainly trained model on equally many rows of every group.

    Kirichenko, Izmailov and Wilson (2023), Last layer re-training is sufficient for robustness to spurious
    correlations, Section 6 and Appendix C.

        rows     = min(count_G) random rows of every group; features are scaled to mean 0 and variance 1
        minimise   C * (upweight_C[y] * log_loss).sum() + abs(weights).sum(), by `evenhand.methods._logistic`
        weights  = mean over `subsamples` draws of the rows

    C and the class weights are those of the largest worst-group accuracy; of equal ones the first. On "val" (DFR-Val),
    half of each group's validation rows fit the candidates and the other half judges them, and all are used to refit;
    on "train" (DFR-Tr), training rows fit them and validation judges. Nothing is trained by gradient: `start` does it
    all, given the split to fit on (and validation); `loss` is the objective, over expected subsamples.

    Attributes:
        fit_on: "val", of which the groups are then needed, or "train".
        C: inverse strengths of the penalty to try, above 0; one value is not tuned.
        subsamples: draws of equally many rows that are averaged, at least 1; 20 on val and 10 on train in the paper.
        balance: False fits on all rows, once.
        class_weights: factors above 0 to try on the loss of each class in turn, beside none; the authors have 1, 2, 3,
            10, 100, 300 and 1000, where rows are not balanced.
        scaler: rows that give mean and variance: "fit", all those of the split that is fitted on; "train", all of
            training; "published" for val: training's for the refits, but the tuning's own subsample while C is
            tuned, which tunes it on another scale.
        multiclass: for three or more classes, "softmax", or "ovr": each class against the rest.
        intercept: "penalised" like a weight, as liblinear does; or "free".
        erm_epochs: epochs of the plain training before, at least 1; none takes those of the run.
        erm_keep: which of its epochs goes on: the "last", as the authors do, or the "best".

    Raises:
        BadInput: no groups where they are needed, no validation split to tune or fit on, a class without rows to fit
            on, or an option outside its range.

    Differs from the authors' code: one scaler for tuning and refits, halves that share out every group, groups without
    rows left out of the balance, more than two classes, and a solver for all subsamples at once, not capped at 20 steps
    in tuning. Without a bias in the last layer, features are scaled but not centred.
    """

    fit_on: Literal["val", "train"] = "val"
    C: tuple[float, ...] = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
    subsamples: int = 20
    balance: bool = True
    class_weights: tuple[float, ...] = ()
    scaler: Literal["fit", "train", "published"] = "fit"
    multiclass: Literal["softmax", "ovr"] = "softmax"
    intercept: Literal["penalised", "free"] = "penalised"
    erm_epochs: int | None = None
    erm_keep: Literal["last", "best"] = "last"

    needs_groups = True
    source = "https://github.com/PolinaKirichenko/deep_feature_reweighting"

    def __post_init__(self) -> None:
        if not self.C or not min(self.C) > 0:
            raise BadInput(f"C of DFR must be values above 0, got {self.C}")
        if self.class_weights and not min(self.class_weights) > 0:
            raise BadInput(f"class_weights of DFR must be values above 0, got {self.class_weights}")
        if self.scaler == "published" and self.fit_on == "train":
            raise BadInput("scaler=published of DFR is for fit_on=val only")
        require_range(self, "subsamples", 1)
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 1)

    def stages(self) -> tuple[Stage, ...]:
        split = "val" if self.fit_on == "val" and self.scaler == "fit" else "train"
        return (
            Stage(ERM(), epochs=self.erm_epochs, keep=self.erm_keep),
            Stage(self, epochs=0, trains="classifier", split=split),
        )

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        fit = split
        if self.fit_on == "val" and self.scaler != "fit":
            fit = require_validation(val, self)
        require_groups(fit, self, "validation" if fit is val else "training")
        for c in torch.nonzero(fit.count_C == 0).flatten().tolist():
            name = fit.class_names[c] if fit.class_names else str(c)
            raise BadInput(f"DFR needs rows of every class to fit on; there are none of {name}")
        state = _Chosen(fit, model.classifier.in_features, loss_dtype(model))
        features_ND = features_of(fit, model)
        scaling_ND = features_ND if fit is split else features_of(split, model)
        with full_precision(fit.y.device):
            scale = _scale_of(scaling_ND, model)
            self._tune(features_ND=features_ND, fit=fit, model=model, val=val, scale=scale, state=state)
            weight_NS = self._drawn(fit, torch.arange(len(fit)), self.subsamples)
            n_draws = weight_NS.shape[1]
            layer_SCD, bias_SC = self._layers(
                features_ND,
                fit.y,
                weight_NS,
                C_S=state.C.expand(n_draws),
                upweight_SC=state.upweight_C.expand(n_draws, -1),
                scale=scale,
                model=model,
            )
            model.classifier.weight.copy_(layer_SCD.mean(0))
            if model.classifier.bias is not None:
                model.classifier.bias.copy_(bias_SC.mean(0))
        self._remember(fit, weight_NS, scale, state)
        return state

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Chosen)
        logits_BC = at_least_single(model.classifier(constant_features(batch, model)))
        if self._form(logits_BC.shape[1]) == "ovr":
            own_BC = F.one_hot(batch.y, logits_BC.shape[1]).to(logits_BC.dtype)
            loss_B = F.binary_cross_entropy_with_logits(logits_BC, own_BC, reduction="none").sum(1)
        else:
            loss_B = cross_entropy(logits_BC, batch.y)
        upweight_B = state.upweight_G[groups_of(batch, self)] * state.upweight_C[batch.y]
        return (upweight_B * loss_B).mean() + state.penalty * self._penalty(model, state)

    def _penalty(self, model: Model, state: _Chosen) -> Tensor:
        """Sum of the absolute weights on scaled features; of two classes only the difference counts."""
        layer_CD = model.classifier.weight * state.scale_D
        if model.classifier.bias is not None and self.intercept == "penalised":
            bias_C = model.classifier.bias + model.classifier.weight @ state.mean_D
            layer_CD = torch.cat([layer_CD, bias_C[:, None]], 1)
        return (layer_CD.diff(dim=0) if len(layer_CD) == 2 else layer_CD).abs().sum()

    def _form(self, n_classes: int) -> Form:
        return "binary" if n_classes == 2 else self.multiclass

    def _tune(
        self, *, features_ND: Tensor, fit: Split, model: Model, val: Split | None, scale: _Scale, state: _Chosen
    ) -> None:
        """Set the state's C and class weights to the best."""
        n_classes = fit.n_classes
        factors = [torch.ones(n_classes)]
        for value in self.class_weights:
            factors += [torch.ones(n_classes).index_fill(0, torch.tensor(c), value) for c in range(n_classes)]
        tried = [(C, factor_C) for C in self.C for factor_C in factors]
        C_M = features_ND.new_tensor([C for C, _ in tried])
        upweight_MC = torch.stack([factor_C for _, factor_C in tried]).to(features_ND)
        best = 0
        if len(tried) > 1:
            rows, judge_ND, judge = self._judges(features_ND, fit, model, val)
            weight_N1 = self._drawn(fit, rows, 1)
            if self.scaler == "published":
                scale = _scale_of(features_ND[weight_N1[:, 0] > 0], model)
            weight_NM = weight_N1.expand(-1, len(tried))
            layer_MCD, bias_MC = self._layers(
                features_ND, fit.y, weight_NM, C_S=C_M, upweight_SC=upweight_MC, scale=scale, model=model
            )
            guess_NM = (torch.einsum("nd,mcd->nmc", judge_ND, layer_MCD) + bias_MC).argmax(2)
            best = int(worst_accuracies(guess_NM, judge.y, judge.group, fit.n_groups).argmax())
        state.C.copy_(C_M[best])
        state.upweight_C.copy_(upweight_MC[best])

    def _judges(
        self, features_ND: Tensor, fit: Split, model: Model, val: Split | None
    ) -> tuple[Tensor, Tensor, _Labels]:
        """The rows of `fit` that fit the candidates, and features and labels of those that judge them."""
        if self.fit_on == "train":
            val = require_validation(val, self)
            return torch.arange(len(fit)), features_of(val, model), _Labels(val.y, val.group)
        order = torch.randperm(len(fit))
        second = sampling.rank_within_label(fit.group.cpu()[order]) % 2 == 1
        judges = order[second].to(fit.y.device)
        return order[~second], features_ND[judges], _Labels(fit.y[judges], fit.group[judges])

    def _drawn(self, fit: Split, rows: Tensor, n_draws: int) -> Tensor:
        """(N, S) weights 1 / rows of the draw, or 0, of each draw of equally many of the rows of every group."""
        group_N = fit.group.cpu()[rows]
        draws = [rows]
        if self.balance:
            draws = [rows[sampling.subsampled(group_N, torch.default_generator)] for _ in range(n_draws)]
        weight_NS = torch.zeros(len(fit), len(draws))
        for s, drawn in enumerate(draws):
            weight_NS[drawn, s] = 1 / len(drawn)
        return weight_NS.to(fit.y.device)

    def _layers(
        self,
        features_ND: Tensor,
        y_N: Tensor,
        weight_NS: Tensor,
        *,
        C_S: Tensor,
        upweight_SC: Tensor,
        scale: _Scale,
        model: Model,
    ) -> tuple[Tensor, Tensor]:
        """(S, C, D) and (S, C): the last layers that minimise the objectives, for features as they are."""
        n_classes = upweight_SC.shape[1]
        form = self._form(n_classes)
        intercept: Intercept = "none" if model.classifier.bias is None else self.intercept
        rows = torch.nonzero(weight_NS.sum(1)).flatten()
        weight_NS, y_N = weight_NS[rows].to(features_ND.dtype), y_N[rows]
        fitted = fit_l1_logistic(
            (features_ND[rows] - scale.mean) / scale.deviation,
            y_N,
            weight_NS * upweight_SC.to(weight_NS).T[y_N],
            weight_NS.amax(0) / C_S.to(weight_NS),
            n_classes=n_classes,
            form=form,
            intercept=intercept,
            tolerance=TOLERANCE,
        )
        layer_SCD, bias_SC = fitted.weight, fitted.bias
        if form == "binary":
            layer_SCD = torch.cat([-layer_SCD, layer_SCD], 1) / 2
            bias_SC = torch.cat([-bias_SC, bias_SC], 1) / 2
        layer_SCD = layer_SCD / scale.deviation
        return layer_SCD, bias_SC - layer_SCD @ scale.mean

    def _remember(self, fit: Split, weight_NS: Tensor, scale: _Scale, state: _Chosen) -> None:
        """What the objective of a batch needs: expected over draws, each group has the same share."""
        state.mean_D.copy_(scale.mean)
        state.scale_D.copy_(scale.deviation)
        state.penalty.copy_(weight_NS.max() / state.C)
        if self.balance:
            present = (fit.count_G > 0).sum()
            state.upweight_G.copy_(torch.where(fit.count_G > 0, len(fit) / (present * fit.count_G.clamp(min=1)), 1))


class _Scale(NamedTuple):
    """Features are taken as (features_ND - mean) / deviation."""

    mean: Tensor  # (D,)
    deviation: Tensor  # (D,)


class _Labels(NamedTuple):
    """Of the rows that judge candidates."""

    y: Tensor
    group: Tensor


def _scale_of(features_ND: Tensor, model: Model) -> _Scale:
    """Mean (0 if the last layer has no bias, which could make up for it) and standard deviation (1 of a constant)."""
    deviation_D = features_ND.std(0, unbiased=False)
    mean_D = features_ND.mean(0) if model.classifier.bias is not None else torch.zeros_like(deviation_D)
    return _Scale(mean_D, torch.where(deviation_D > 0, deviation_D, 1))
