"""Fair mixup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from evenhand.batch import Batch, Split
from evenhand.groups import mean_per_group
from evenhand.losses import at_least_single, mean_cross_entropy
from evenhand.methods._base import Method, State, groups_of, require_groups, require_range
from evenhand.methods._mixing import (
    Decks,
    Level,
    Pairs,
    at_features,
    balanced_batches,
    beta_draws,
    unrecorded_logits,
)
from evenhand.model import Model


class _Values(State):
    """The attribute values with training rows, and how many labels there can be in a batch."""

    def __init__(self, split: Split) -> None:
        super().__init__()
        self.n_classes, self.n_attributes = split.n_classes, split.n_attributes
        self.values: list[int] = torch.unique(split.attribute).tolist()


@dataclass(frozen=True)
class FairMix(Method):
    """Keeps the mean prediction constant on the way from one attribute value to the other, by mixing rows of both.

    Chuang and Mroueh (2021), Fair mixup: Fairness via interpolation, Equations 5 to 8.

        path    = mean over i of prob(share * x_0[i] + (1 - share) * x_1[i])    x_0, x_1: rows of the two values
        penalty = |d path / d share|, at a random share ~ Beta(alpha, alpha); for equalized odds summed over classes,
                  of which each has its own rows and share
        loss    = cross_entropy(logits_BC, y_B).mean() + weight * penalty

    prob is the probability of class 1, or with more than two classes that of each, penalties summed. The derivative is
    that of the network along the path (its Jacobian times x_0 - x_1) and is itself differentiated. Labels are never
    mixed. Batches have equally many rows of each attribute value (for equalized odds: of each group), drawn with
    replacement. With more than two attribute values, each batch takes two, drawn at random; several attributes count as
    one, their combination. A value, or one of a class, that is missing from a batch adds nothing.

    Attributes:
        weight: lambda, at least 0; 0 is plain training on balanced batches. The authors sweep .1 to .7 (parity) and .5
            to 5 (odds) on Adult, up to 50 on CelebA; Hong et al. (2024) 1, 3 and 5.
        criterion: what is to be fair: "demographic_parity" or "equalized_odds".
        penalty: "path", or "gap", the authors' baseline GapReg: |mean prob(x_0) - mean prob(x_1)|, without mixing.
        alpha: above 0; 1 draws the share uniformly.
        level: where the path runs: "input"; "feature" (manifold), what the encoder gives; or "auto": inputs, unless
            they are whole numbers (tokens).

    Raises:
        BadInput: no attributes or one value only, an option outside its range, a batch size below the number of values
            or groups, or integer inputs at level "input".

    Differs from the authors' code: rows are drawn with replacement, so that no cell is too small; equalized odds takes
    the rows of all classes through the network at once; attributes and classes beyond two; every epoch may be selected.
    """

    weight: float = 0.5
    criterion: Literal["demographic_parity", "equalized_odds"] = "equalized_odds"
    penalty: Literal["path", "gap"] = "path"
    alpha: float = 1.0
    level: Level = "auto"

    needs_groups = True
    source = "https://github.com/chingyaoc/fair-mixup"

    def __post_init__(self) -> None:
        require_range(self, "weight", 0)
        require_range(self, "alpha", 0, above=True)

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        require_groups(split, self)
        return _Values(split)

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        label_N = split.group if self.criterion == "equalized_odds" else split.attribute
        return balanced_batches(label_N, size, -(-len(split) // size), rng)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Values)
        features_BD = model.encoder(batch.x)
        logits_BC = model.classifier(features_BD)
        loss = mean_cross_entropy(logits_BC, batch.y)
        if self.weight == 0:
            return loss
        label_B, ends_S2 = self._labels(groups_of(batch, self), state)
        if self.penalty == "gap":
            n_labels = state.n_classes * state.n_attributes
            return loss + self.weight * gap(positive(logits_BC), label_B, ends_S2, n_labels)
        pairs, present_S = self._pairs(label_B, ends_S2, state, loss.dtype)
        inside = at_features(batch.x, self.level)
        mixed = pairs.mix(features_BD) if inside else model.encoder(pairs.mix(batch.x))
        prob_MF = positive(unrecorded_logits(model, mixed))
        assert isinstance(pairs.share, Tensor)
        mean_SF = prob_MF.view(len(ends_S2), -1, prob_MF.shape[1]).mean(1)
        slope_SF = slopes(mean_SF, pairs.share, len(ends_S2))
        return loss + self.weight * (slope_SF.abs().sum(1) * present_S).sum()

    def _labels(self, group_B: Tensor, state: _Values) -> tuple[Tensor, Tensor]:
        """(B,) what each row is taken by, and (S, 2) the labels at both ends of each path."""
        two = [state.values[k] for k in torch.randperm(len(state.values))[:2].tolist()]
        if self.criterion == "demographic_parity":
            return group_B % state.n_attributes, torch.tensor([two]).to(group_B.device)
        class_S = torch.arange(state.n_classes)
        return group_B, (class_S[:, None] * state.n_attributes + torch.tensor(two)).to(group_B.device)

    def _pairs(self, label_B: Tensor, ends_S2: Tensor, state: _Values, dtype: torch.dtype) -> tuple[Pairs, Tensor]:
        """Equally many pairs of rows for each path, one path after the other; and (S,) 1 where both ends have rows."""
        n_paths = len(ends_S2)
        each = max(len(label_B) // (n_paths * len(state.values)), 1)
        decks = Decks.shuffled(label_B, state.n_classes * state.n_attributes, 1)
        turn_M = torch.arange(each, device=label_B.device).repeat(n_paths)
        first_M, second_M = (decks.rows(0, end_S.repeat_interleave(each), turn_M) for end_S in ends_S2.unbind(1))
        share_S = beta_draws(self.alpha, self.alpha, n_paths).to(dtype).to(label_B.device, non_blocking=True)
        share_M = share_S.repeat_interleave(each).requires_grad_()
        return Pairs(first_M, second_M, share_M), (decks.count[ends_S2].amin(1) > 0).to(share_M.dtype)


def positive(logits_BC: Tensor) -> Tensor:
    """(B, 1) probability of class 1, or (B, C) of each of more than two classes."""
    prob_BC = at_least_single(logits_BC).softmax(1)
    return prob_BC if prob_BC.shape[1] > 2 else prob_BC[:, 1:]


def gap(values_BF: Tensor, label_B: Tensor, ends_S2: Tensor, n_labels: int) -> Tensor:
    """Scalar sum of absolute differences of the mean values at both ends of each path; 0 where an end has no rows."""
    mean_LF, count_L = mean_per_group(values_BF, label_B, n_labels)
    first_SF, second_SF = mean_LF[ends_S2].unbind(1)
    return ((first_SF - second_SF).abs().sum(1) * (count_L[ends_S2].amin(1) > 0)).sum()


def slopes(mean_SF: Tensor, share_M: Tensor, n_paths: int) -> Tensor:
    """(S, F) derivative of each mean by the share of its own path's mixtures, to be differentiated further.

    `share_M` holds equally many shares of each path, one path after the other. One backward pass gives the derivative
    of a weighted sum of the F means; it is linear in the weights, so that a second gives all F.
    """
    if mean_SF.shape[1] == 1:
        (slope_M,) = torch.autograd.grad(mean_SF.sum(), share_M, create_graph=True)
        return slope_M.view(n_paths, -1).sum(1, keepdim=True)
    weight_SF = torch.ones_like(mean_SF, requires_grad=True)
    (slope_M,) = torch.autograd.grad((mean_SF * weight_SF).sum(), share_M, create_graph=True)
    (slope_SF,) = torch.autograd.grad(slope_M.sum(), weight_SF, create_graph=True)
    return slope_SF
