"""ClusterFix: debiasing by clusters that the features have to go on telling apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.batch import Batch, Split
from evenhand.losses import at_least_single, cross_entropy
from evenhand.methods._base import Method, Stage, State, loss_dtype, require_range
from evenhand.methods._clusters import Metric, class_clusters
from evenhand.methods.erm import ERM
from evenhand.model import Model


class _Clusters(State):
    """L = classes * clusters. The heads of all labels are one layer: label y has the outputs y * K to y * K + K - 1."""

    def __init__(self, cluster_N: Tensor, n_clusters: int, n_features: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads = nn.Linear(n_features, n_clusters, dtype=dtype)
        self.cluster_N = nn.Buffer(cluster_N)
        self.size_L = nn.Buffer(torch.bincount(cluster_N, minlength=n_clusters).to(dtype))
        self.weight_L = nn.Buffer(torch.ones_like(self.size_L))
        self.sum_L = nn.Buffer(torch.zeros_like(self.size_L))  # this epoch's losses
        self.seen_L = nn.Buffer(torch.zeros_like(self.size_L))  # and how many there are


@dataclass(frozen=True)
class ClusterFix(Method):
    """Weights rows by how hard their cluster is for the task and to tell from other clusters. Needs no groups.

    Capitani, Bolelli, Porrello, Calderara and Ficarra (2024), ClusterFix: a cluster-based debiasing approach without
    protected-group supervision, Equations 6 to 9.

        stage 1: k-means of each class's features, by the encoder as it begins: pretrained, best without labels
        stage 2: task_B    = cross_entropy(logits_BC, y_B)
                 cluster_B = cross_entropy of the label's cluster head, over its K clusters
                 loss      = (weight_L[c_B] * task_B).mean() + gamma * cluster_B.mean()
        after every epoch, from the losses of its steps:
                 new_L     = (task + gamma * cluster).mean() of each cluster / size_L
                 weight_L  = (1 - momentum) * weight_L + momentum * new_L; at first 1

    The heads are linear and trained with the model. Weights are constant for the gradient. A cluster without rows is
    not met; one without steps in an epoch keeps its weight.

    Attributes:
        clusters: K of each class, at least 1.
        gamma: at least 0; .5 for CelebA and .01 for Waterbirds (the paper's lambda, which can only be this).
        momentum: weight of the newest weights, in [0, 1]; 0 weights all rows equally. The paper gives .3 and not its
            direction: .7 is the other reading.
        normalise: scale `new_L` to mean 1 over the clusters that have rows, and the weights of a batch to mean 1;
            without, the factor 1 / size_L makes the task's loss smaller by about the size of a cluster, as Equation 8
            stands.
        metric: of k-means: "euclidean", or "cosine" as in BPA.
        heads: "label": one for each label, as in Equation 8, among the label's clusters; "shared": one among the
            clusters of all labels, as in Equation 6.
        erm_epochs: at least 0: where it is not 0, clusters are those of an encoder that was plainly trained for so many
            epochs (none: those of the run), for networks that begin with random weights. Stage 2 then begins again
            from the initial weights.

    Raises:
        BadInput: an option outside its range.
        RunFailed: features are not finite.

    The paper leaves open what its weights are scaled to, when they are refreshed, and whether Equation 6 is a sum or a
    mean: here as described, and a mean. No code of the authors is published.
    """

    clusters: int = 8
    gamma: float = 0.5
    momentum: float = 0.3
    normalise: bool = True
    metric: Metric = "euclidean"
    heads: Literal["label", "shared"] = "label"
    erm_epochs: int | None = 0

    source = "https://openaccess.thecvf.com/content/WACV2024/html/Capitani_ClusterFix_A_Cluster-Based_Debiasing_Approach_Without_Protected-Group_Supervision_WACV_2024_paper.html"

    def __post_init__(self) -> None:
        require_range(self, "clusters", 1)
        require_range(self, "gamma", 0)
        require_range(self, "momentum", 0, 1)
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 0)

    def stages(self) -> tuple[Stage, ...]:
        if self.erm_epochs == 0:
            return (Stage(self),)
        return (Stage(ERM(), epochs=self.erm_epochs), Stage(self, restart=True))

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        cluster_N = class_clusters(split, model, self.clusters, self.metric)
        n_clusters, n_features = split.n_classes * self.clusters, model.classifier.in_features
        return _Clusters(cluster_N, n_clusters, n_features, loss_dtype(model))

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Clusters)
        cluster_B = state.cluster_N[batch.rows]
        features_BD = model.encoder(batch.x)
        task_B = cross_entropy(model.classifier(features_BD), batch.y)
        structure_B = self._structure(state.heads(features_BD), cluster_B, batch.y)
        with torch.no_grad():
            state.sum_L.index_add_(0, cluster_B, task_B + self.gamma * structure_B)
            state.seen_L.index_add_(0, cluster_B, torch.ones_like(task_B))
            weight_B = state.weight_L[cluster_B]
            if self.normalise:
                weight_B = weight_B / weight_B.mean().clamp(min=torch.finfo(weight_B.dtype).tiny)
        return torch.dot(weight_B, task_B) / len(task_B) + self.gamma * structure_B.mean()

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Clusters)
        new_L = self.new_weights(state.sum_L / state.seen_L.clamp(min=1), state.size_L)
        state.weight_L.lerp_(
            torch.where((state.seen_L > 0) | (state.size_L == 0), new_L, state.weight_L), self.momentum
        )
        state.sum_L.zero_()
        state.seen_L.zero_()

    def new_weights(self, loss_L: Tensor, size_L: Tensor) -> Tensor:
        """(L,) Equation 8, of each cluster's mean loss and its size; 0 for a cluster without rows."""
        weight_L = torch.where(size_L > 0, loss_L / size_L.clamp(min=1), 0)
        if not self.normalise:
            return weight_L
        return weight_L * (size_L > 0).sum() / weight_L.sum().clamp(min=torch.finfo(weight_L.dtype).tiny)

    def _structure(self, logits_BL: Tensor, cluster_B: Tensor, y_B: Tensor) -> Tensor:
        """(B,) cross-entropy of each row's cluster, among those of its label or all."""
        logits_BL = at_least_single(logits_BL)
        if self.heads == "shared":
            return F.cross_entropy(logits_BL, cluster_B, reduction="none")
        logits_BCK = logits_BL.view(len(y_B), -1, self.clusters)
        own_B1K = y_B.view(-1, 1, 1).expand(-1, 1, self.clusters)
        return F.cross_entropy(logits_BCK.gather(1, own_B1K).squeeze(1), cluster_B % self.clusters, reduction="none")
