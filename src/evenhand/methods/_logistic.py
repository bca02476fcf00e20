"""Logistic regression with an L1 penalty, for many weightings of the same rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Form = Literal["binary", "ovr", "softmax"]
Intercept = Literal["free", "penalised", "none"]

INNER_STEPS = 30  # accelerated steps on one quadratic model
CURVATURE_ROWS = 2048  # at least so many rows, and four for each feature, give the curvature
REFRESH_ABOVE = 1e-2  # relative decrease of the objective still to come, above which curvature is taken afresh


class L1Fit(NamedTuple):
    """S solutions with Q outputs each: one for "binary", else one a class."""

    weight: Tensor  # (S, Q, D)
    bias: Tensor  # (S, Q)
    objective: Tensor  # (S,)


def fit_l1_logistic(
    x_ND: Tensor,
    y_N: Tensor,
    weight_NS: Tensor,
    penalty_S: Tensor,
    *,
    n_classes: int = 2,
    form: Form = "binary",
    intercept: Intercept = "free",
    tolerance: float = 1e-6,
    max_steps: int = 200,
) -> L1Fit:
    """The S minima over `weight_QD` and `bias_Q` of

        (weight_NS[:, s] * loss_N).sum() + penalty_S[s] * weight_QD.abs().sum()

    where `loss_N` is the cross-entropy of sigmoid(logit) for "binary" (classes 0 and 1, one output), the sum of those
    of each class against the rest for "ovr", or the cross-entropy of the softmax for "softmax".

    Proximal quasi-Newton steps with one curvature matrix for all S problems, scaled for each: their rows come from the
    same data, so that their curvatures are alike. A step is two products of the rows with S columns, and accelerated
    proximal gradient steps on a quadratic model of the features that are in use or about to be; a line search on the
    objective makes each step go down.

    Args:
        x_ND: features, of similar scale.
        weight_NS: weights of the rows in each problem, at least 0; 0 leaves a row out. Of the scale 1 / rows.
        penalty_S: above 0: 1 / (C * rows) for what scikit-learn calls C, when the weights are 1 / rows.
        intercept: "free", "penalised" like a weight (as liblinear does), or "none".
        tolerance: largest decrease of the objective, relative to it, that the last step's model may promise.
        max_steps: after so many steps the solutions so far are returned.
    """
    problem = _problem(x_ND, y_N, weight_NS, penalty_S, n_classes=n_classes, form=form, intercept=intercept)
    found = _minimise(problem, tolerance, max_steps)
    n_problems, n_features = weight_NS.shape[1], x_ND.shape[1]
    solution_SQD = found.solution.permute(1, 2, 0).reshape(n_problems, -1, len(found.solution))
    weight_SQD = solution_SQD[:, :, :n_features]
    bias_SQ = torch.zeros_like(weight_SQD[:, :, 0]) if intercept == "none" else solution_SQD[:, :, n_features]
    return L1Fit(weight_SQD, bias_SQ, found.objective.view(n_problems, -1).sum(1))


@dataclass(frozen=True)
class _Problem:
    """P problems of Q outputs; one-vs-rest is S * C problems of one output."""

    x: Tensor  # (N, D), with a column of ones for the intercept
    target: Tensor  # (N, P, Q), P may be 1
    weight: Tensor  # (N, P)
    penalty: Tensor  # (D, P, 1)
    softmax: bool

    def losses(self, logit_NPQ: Tensor) -> Tensor:
        """(P,) weighted loss."""
        fitted_NPQ = self.target * logit_NPQ
        if self.softmax:
            loss_NP = logit_NPQ.logsumexp(2) - fitted_NPQ.sum(2)
        else:
            loss_NP = (F.softplus(logit_NPQ) - fitted_NPQ).squeeze(2)
        return (self.weight * loss_NP).sum(0)

    def penalties(self, solution_DPQ: Tensor) -> Tensor:
        """(P,) weighted absolute values."""
        return (self.penalty * solution_DPQ.abs()).sum((0, 2))

    def probabilities(self, logit_NPQ: Tensor) -> Tensor:
        """(N, P, Q)"""
        return logit_NPQ.softmax(2) if self.softmax else logit_NPQ.sigmoid()

    def gradient(self, probability_NPQ: Tensor) -> Tensor:
        """(D, P, Q) of the loss."""
        return _product(self.x.T, self.weight[:, :, None] * (probability_NPQ - self.target))

    def curvature_along(self, probability_NPQ: Tensor, change_NPQ: Tensor) -> Tensor:
        """(P,) second derivative of the loss where logits change so."""
        mean_NPQ = probability_NPQ * change_NPQ
        if self.softmax:
            curve_NP = (mean_NPQ * change_NPQ).sum(2) - mean_NPQ.sum(2).square()
        else:
            curve_NP = (mean_NPQ * (1 - probability_NPQ) * change_NPQ).squeeze(2)
        return (self.weight * curve_NP).sum(0)


@dataclass
class _Iterate:
    """Where the problems are."""

    solution: Tensor  # (D, P, Q)
    logit: Tensor  # (N, P, Q)
    objective: Tensor  # (P,)


class _Curvature(NamedTuple):
    """The mean curvature of the problems for one output and some features."""

    columns: Tensor  # (A,) the features
    matrix: Tensor  # (A, A)
    largest: Tensor  # a little above its largest eigenvalue


def _problem(
    x_ND: Tensor,
    y_N: Tensor,
    weight_NS: Tensor,
    penalty_S: Tensor,
    *,
    n_classes: int,
    form: Form,
    intercept: Intercept,
) -> _Problem:
    weight_NP, penalty_P = weight_NS.to(x_ND.dtype), penalty_S.to(x_ND.dtype)
    own_NC = y_N[:, None] if form == "binary" else F.one_hot(y_N, n_classes)
    target_NPQ = own_NC[:, None, :].to(x_ND.dtype)
    if form == "ovr":
        target_NPQ = target_NPQ.expand(-1, weight_NS.shape[1], -1).reshape(len(y_N), -1, 1)
        weight_NP, penalty_P = weight_NP.repeat_interleave(n_classes, 1), penalty_P.repeat_interleave(n_classes)
    share_D = x_ND.new_ones(x_ND.shape[1])
    if intercept != "none":
        share_D = torch.cat([share_D, share_D.new_full((1,), float(intercept == "penalised"))])
        x_ND = torch.cat([x_ND, torch.ones_like(x_ND[:, :1])], dim=1)
    return _Problem(x_ND, target_NPQ, weight_NP, share_D[:, None, None] * penalty_P[:, None], form == "softmax")


def _minimise(problem: _Problem, tolerance: float, max_steps: int) -> _Iterate:
    solution_DPQ = problem.x.new_zeros(len(problem.penalty), problem.weight.shape[1], problem.target.shape[2])
    logit_NPQ = _product(problem.x, solution_DPQ)
    now = _Iterate(solution_DPQ, logit_NPQ, problem.losses(logit_NPQ))
    scale_P = torch.ones_like(now.objective)  # of the curvature, for each problem
    curvature, promised = None, torch.inf
    for _ in range(max_steps):
        probability_NPQ = problem.probabilities(now.logit)
        gradient_DPQ = problem.gradient(probability_NPQ)
        active_D = ((now.solution != 0) | (gradient_DPQ.abs() > problem.penalty)).flatten(1).any(1)
        if not bool(active_D.any()):
            break
        if curvature is None or promised > REFRESH_ABOVE or not _covers(curvature, active_D):
            curvature = _curvature(problem, probability_NPQ, torch.nonzero(active_D).flatten())
        step_APQ = _model_step(problem, now.solution, gradient_DPQ, curvature, scale_P)
        step_DPQ = torch.zeros_like(now.solution).index_copy(0, curvature.columns, step_APQ)
        change_NPQ = _product(problem.x, step_DPQ)
        modelled_P = (step_APQ * _product(curvature.matrix, step_APQ)).sum((0, 2))
        actual_P = problem.curvature_along(probability_NPQ, change_NPQ)
        scale_P = (actual_P / modelled_P.clamp(min=_tiny(actual_P))).clamp(0.25, 4)
        slope_P = (gradient_DPQ * step_DPQ).sum((0, 2))
        promised = _advance(problem, now, step_DPQ, change_NPQ, slope_P)
        if promised <= tolerance:
            break
    return now


def _advance(problem: _Problem, now: _Iterate, step_DPQ: Tensor, change_NPQ: Tensor, slope_P: Tensor) -> float:
    """Take of each step what makes its objective go down enough, halving it until it does.

    Returns the largest relative decrease that a full step promised.
    """
    expected_P = slope_P + problem.penalties(now.solution + step_DPQ) - problem.penalties(now.solution)
    promised = float((-expected_P / now.objective).max())
    taken_P, found_P = torch.ones_like(expected_P), now.objective
    for _ in range(10):
        penalty_P = problem.penalties(now.solution + taken_P[:, None] * step_DPQ)
        found_P = problem.losses(now.logit + taken_P[:, None] * change_NPQ) + penalty_P
        enough_P = found_P <= now.objective + 1e-3 * taken_P * expected_P
        if bool(enough_P.all()):
            break
        taken_P = torch.where(enough_P, taken_P, taken_P / 2)
    taken_P = torch.where(found_P <= now.objective, taken_P, 0)
    now.objective = torch.minimum(found_P, now.objective)
    now.solution = now.solution + taken_P[:, None] * step_DPQ
    now.logit = now.logit + taken_P[:, None] * change_NPQ
    return promised


def _model_step(
    problem: _Problem, solution_DPQ: Tensor, gradient_DPQ: Tensor, curvature: _Curvature, scale_P: Tensor
) -> Tensor:
    """(A, P, Q) about the step to the minimum of each quadratic model with its penalty.

    Beck and Teboulle (2009), restarted where it turns back as O'Donoghue and Candes (2015) do.
    """
    start_APQ, gradient_APQ, penalty_AP1 = (
        values.index_select(0, curvature.columns) for values in (solution_DPQ, gradient_DPQ, problem.penalty)
    )
    size_P1 = (1 / (scale_P * curvature.largest))[:, None]
    threshold_AP1 = size_P1 * penalty_AP1
    now_APQ = ahead_APQ = start_APQ
    momentum = 1.0
    for _ in range(INNER_STEPS):
        bent_APQ = _product(curvature.matrix, ahead_APQ - start_APQ)
        next_APQ = _shrunk(ahead_APQ - size_P1 * (gradient_APQ + scale_P[:, None] * bent_APQ), threshold_AP1)
        moved_APQ = next_APQ - now_APQ
        onward_P = ((ahead_APQ - next_APQ) * moved_APQ).sum((0, 2)) <= 0
        next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead_APQ = next_APQ + ((momentum - 1) / next_momentum * onward_P)[:, None] * moved_APQ
        now_APQ, momentum = next_APQ, next_momentum
    return now_APQ - start_APQ


def _curvature(problem: _Problem, probability_NPQ: Tensor, columns: Tensor) -> _Curvature:
    """The curvature for these features, from rows spread evenly."""
    spread_NP = (probability_NPQ * (1 - probability_NPQ)).amax(2)
    if problem.softmax:
        spread_NP = (2 * spread_NP).clamp(max=0.5)  # bounds the largest eigenvalue of a row's C x C matrix
    spread_N = (problem.weight * spread_NP).mean(1)
    step = max(1, len(spread_N) // max(CURVATURE_ROWS, 4 * len(columns)))
    some_N = spread_N[::step]
    x_NA = problem.x[::step].index_select(1, columns)
    matrix_AA = x_NA.T @ (some_N[:, None] * x_NA) * (spread_N.sum() / some_N.sum().clamp(min=_tiny(some_N)))
    # Bounded away from 0 where there are fewer rows than features.
    matrix_AA.diagonal().add_(1e-3 * matrix_AA.diagonal().mean() + _tiny(some_N))
    return _Curvature(columns, matrix_AA, _above_largest_eigenvalue(matrix_AA))


def _covers(curvature: _Curvature, active_D: Tensor) -> bool:
    return bool(active_D.index_fill(0, curvature.columns, value=False).logical_not().all())


def _product(left: Tensor, right_DPQ: Tensor) -> Tensor:
    return (left @ right_DPQ.flatten(1)).view(-1, *right_DPQ.shape[1:])


def _shrunk(values: Tensor, threshold: Tensor) -> Tensor:
    return values - torch.clamp(values, -threshold, threshold)


def _above_largest_eigenvalue(matrix_AA: Tensor) -> Tensor:
    """A scalar a little above the largest eigenvalue of a positive matrix, by power iteration."""
    vector_A = torch.arange(1, len(matrix_AA) + 1, dtype=matrix_AA.dtype, device=matrix_AA.device).square().cos()
    for _ in range(20):
        vector_A = F.normalize(matrix_AA @ vector_A, dim=0)
    return 1.2 * torch.dot(vector_A, matrix_AA @ vector_A) + _tiny(matrix_AA)


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny
