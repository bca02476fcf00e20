"""Debiasing by pseudo-attributes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.groups import sum_per_group
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_range
from evenhand.methods._clusters import Metric, class_clusters
from evenhand.methods.erm import ERM
from evenhand.model import Model

UNSEEN = -1.0


class _Difficulties(State):
    """L = classes * clusters. Each cluster's loss is kept as a sum that every step brings up to date."""

    def __init__(self, cluster_N: Tensor, n_clusters: int, dtype: torch.dtype) -> None:
        super().__init__()
        size_L = torch.bincount(cluster_N, minlength=n_clusters).to(dtype)
        self.cluster_N = nn.Buffer(cluster_N)
        self.size_L = nn.Buffer(size_L.clamp(min=1))
        self.loss_N = nn.Buffer(torch.full_like(cluster_N, UNSEEN, dtype=dtype))  # when the row last went by
        self.sum_L = nn.Buffer(torch.zeros_like(size_L))  # of loss_N over the rows seen
        self.seen_L = nn.Buffer(torch.zeros_like(size_L))
        self.difficulty_L = nn.Buffer(torch.zeros_like(size_L))
        self.steps = nn.Buffer(cluster_N.new_zeros(()))

    @property
    def all_seen(self) -> Tensor:
        return self.seen_L.sum() >= len(self.cluster_N)

    @property
    def known(self) -> Tensor:
        """Whether difficulties tell anything: all rows have been seen, and a refresh has found a loss above 0."""
        return self.all_seen & (self.difficulty_L.sum() > 0)

    def record(self, rows: Tensor, cluster_B: Tensor, loss_B: Tensor) -> None:
        before_B = self.loss_N[rows]
        self.sum_L.index_add_(0, cluster_B, loss_B - before_B.clamp(min=0))
        self.seen_L.index_add_(0, cluster_B, (before_B < 0).to(loss_B.dtype))
        self.loss_N[rows] = loss_B
        self.steps.add_(1)

    def refresh(self, share: Tensor) -> None:
        """Move difficulties towards the mean losses of the rows seen; a cluster without such rows keeps its own."""
        mean_L = torch.where(self.seen_L > 0, self.sum_L / self.seen_L.clamp(min=1), self.difficulty_L)
        self.difficulty_L.lerp_(mean_L, share.to(mean_L.dtype))


@dataclass(frozen=True)
class BPA(Method):
    """Weights rows by how small and how hard their cluster is; clusters are those of a plainly trained encoder.

    Seo, Lee and Han (2022), Unsupervised learning of debiased representations with pseudo-attributes, Section 3.
    Needs no groups.

        stage 1: plain training; k-means of each class's features gives the clusters, for good
        stage 2, from the initial weights:
            difficulty_L = running mean of each cluster's mean cross-entropy, of its rows as they last went by
            weight_B     = N / size_L[cluster_B] * difficulty_L[cluster_B] / difficulty_L.sum(), scaled to mean 1
            loss         = (weight_B * cross_entropy(logits_BC, y_B)).mean()

    Until every row has gone by once, weights are N / size_L[cluster_B], scaled to mean 1. Weights are constant for the
    gradient. A cluster without rows counts one for its size, and is not met.

    Attributes:
        clusters: K of each class, at least 1; 1 weights classes.
        metric: of k-means: "cosine" or "euclidean".
        momentum: weight of the newest mean losses in the running mean, in (0, 1]; 1 has no memory, which is what the
            authors' code comes down to. The paper names m = .3, and not its direction.
        exp_step: at least 0: weights are multiplied by exp(exp_step * weight) and scaled to mean 1 once more; .05 in
            the authors' code, 0 is off.
        refresh_every: steps between two looks at the mean losses, at least 1; they are looked at after each epoch too.
        erm_epochs: epochs of stage 1, at least 0; none takes those of the run; with 0 the clusters are those of the
            encoder as it begins.

    Raises:
        BadInput: an option outside its range.
        RunFailed: features are not finite.

    Differs from the authors' code, unless momentum=1 and exp_step=.05: difficulties have the momentum that the paper
    names, which in the code has no effect, and there is no exponential step.
    """

    clusters: int = 8
    metric: Metric = "cosine"
    momentum: float = 0.3
    exp_step: float = 0.0
    refresh_every: int = 10
    erm_epochs: int | None = None

    source = "https://github.com/skynbe/pseudo-attributes"

    def __post_init__(self) -> None:
        require_range(self, "clusters", 1)
        require_range(self, "momentum", 0, 1, above=True)
        require_range(self, "exp_step", 0)
        require_range(self, "refresh_every", 1)
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 0)

    def stages(self) -> tuple[Stage, ...]:
        if self.erm_epochs == 0:
            return (Stage(self),)
        return (Stage(ERM(), epochs=self.erm_epochs), Stage(self, restart=True))

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        cluster_N = class_clusters(split, model, self.clusters, self.metric)
        return _Difficulties(cluster_N, split.n_classes * self.clusters, loss_dtype(model))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Difficulties)
        cluster_B = state.cluster_N[batch.rows]
        loss_B = cross_entropy(model(batch.x), batch.y)
        weight_B = self.weights(cluster_B, state)
        state.record(batch.rows, cluster_B, loss_B.detach())
        due = state.steps % self.refresh_every == 0
        state.refresh(due * torch.where(state.all_seen, self.momentum, 1.0))
        return torch.dot(weight_B, loss_B) / len(loss_B)

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Difficulties)
        # Afresh, because sums that are brought up to date a whole training long would lose digits.
        state.sum_L.copy_(sum_per_group(state.loss_N.clamp(min=0), state.cluster_N, len(state.sum_L)))
        state.refresh(torch.where(state.all_seen, self.momentum, 1.0))

    def weights(self, cluster_B: Tensor, state: State) -> Tensor:
        """(B,) weights of rows of these clusters, with mean 1."""
        assert isinstance(state, _Difficulties)
        tiny = torch.finfo(state.size_L.dtype).tiny
        relative_L = state.difficulty_L / state.difficulty_L.sum().clamp(min=tiny)
        factor_L = len(state.cluster_N) / state.size_L * torch.where(state.known, relative_L, 1)
        weight_B = factor_L[cluster_B]
        weight_B = weight_B / weight_B.mean().clamp(min=tiny)
        if self.exp_step:
            weight_B = weight_B * (self.exp_step * weight_B).exp()
            weight_B = weight_B / weight_B.mean().clamp(min=tiny)
        return weight_B
