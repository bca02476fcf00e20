"""George: group distributionally robust optimisation over clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn

from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import cross_entropy
from evenhand.methods._base import Method, Stage, State, require_range
from evenhand.methods._clusters import Array, features_in_memory, seed_from_torch
from evenhand.methods._strata import SPLIT_INTO, Clusterer, reduced, searched, split_further
from evenhand.methods.erm import ERM
from evenhand.methods.groupdro import GroupDRO
from evenhand.model import Model, in_chunks


class _Strata(State):
    """Each row's cluster, 0..L-1, and what GroupDRO remembers of the clusters."""

    def __init__(self, cluster_N: Tensor, n_clusters: int) -> None:
        super().__init__()
        self.cluster_N = nn.Buffer(cluster_N)
        self.n_clusters = n_clusters
        self.dro: State

    def over(self, split: Split) -> Split:
        """The split with its rows' clusters for groups."""
        zero_N, cluster_N1 = torch.zeros_like(split.y), self.cluster_N[:, None]
        # One class with as many attribute values as there are clusters: its groups are the clusters.
        return replace(split, y=zero_N, n_classes=1, attributes=cluster_N1, attribute_sizes=(self.n_clusters,))


@dataclass(frozen=True)
class George(Method):
    """Clusters each class's features of a plainly trained model and trains anew for the worst cluster.

    Sohoni, Dunnmon, Angus, Gu and Ré (2020), No subclass left behind: fine-grained robustness in coarse-grained
    classification problems, Section 4. Needs no groups.

        stage 1: plain training; the features of each class are reduced and clustered
        stage 2, from the initial weights: `groupdro` with the clusters for groups

    Attributes:
        reduction: of features: "pca"; "umap" (10 neighbours, distance 0), with umap-learn installed; "none"; or, for
            two classes, "hardness": along the normal of stage 1's decision boundary, and beside it UMAP of what is
            orthogonal to it where more than one component is wanted.
        components: dimensions that are left, at least 1. One for Waterbirds (hardness).
        unit_features: scale features to length 1 before.
        clusterer: "gmm", a Gaussian mixture with full covariances, or "kmeans".
        clusters: of each class, at least 1; none searches 2 to `max_clusters` for the largest mean over clusters of
            their mean silhouettes; of equal numbers the largest.
        max_clusters: of the search, at least 2.
        overcluster: split every cluster in five and keep the parts that are denser, no easier and not small.
        step_size: of GroupDRO, per batch, at least 0; 0 keeps all clusters equal.
        adjustment: of GroupDRO: C, at least 0; favours small clusters. 2 for Waterbirds, 3 for CelebA.
        balanced_batches: of GroupDRO: draw rows so that every cluster has the same expected share.
        erm_epochs: epochs of stage 1, at least 0; none takes those of the run; with 0 the clusters are those of the
            encoder as it begins, as the authors' are for CelebA.
        erm_keep: which of stage 1's epochs is clustered: the "last", or the "best".

    Raises:
        BadInput: umap-learn is wanted and not installed, hardness is wanted for more than two classes, no validation
            split to judge parts by, or an option outside its range.
        RunFailed: features are not finite.

    Differs from the authors' code: by default PCA instead of UMAP; mixtures are fitted on 20 000 rows of a class and
    silhouettes judged on 5 000, drawn at random, where it has more; the epoch is selected by the rule of the run, not
    by the worst cluster on validation; no objective of AUROC.
    """

    reduction: Literal["pca", "umap", "none", "hardness"] = "pca"
    components: int = 2
    unit_features: bool = True
    clusterer: Clusterer = "gmm"
    clusters: int | None = None
    max_clusters: int = 10
    overcluster: bool = False
    step_size: float = 0.01
    adjustment: float = 0.0
    balanced_batches: bool = True
    erm_epochs: int | None = None
    erm_keep: Literal["last", "best"] = "last"

    source = "https://github.com/HazyResearch/hidden-stratification"

    def __post_init__(self) -> None:
        require_range(self, "components", 1)
        require_range(self, "max_clusters", 2)
        require_range(self, "step_size", 0)
        require_range(self, "adjustment", 0)
        if self.clusters is not None:
            require_range(self, "clusters", 1)
        if self.erm_epochs is not None:
            require_range(self, "erm_epochs", 0)

    @property
    def dro(self) -> GroupDRO:
        return GroupDRO(self.step_size, self.adjustment, self.balanced_batches)

    def stages(self) -> tuple[Stage, ...]:
        if self.erm_epochs == 0:
            return (Stage(self),)
        return (Stage(ERM(), epochs=self.erm_epochs, keep=self.erm_keep), Stage(self, restart=True))

    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        most = (self.clusters or self.max_clusters) * (SPLIT_INTO if self.overcluster else 1)
        cluster_N = self._clusters(split, model, val, most)
        state = _Strata(cluster_N.to(split.y.device), split.n_classes * most)
        state.dro = self.dro.start(state.over(split), model)
        return state

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        assert isinstance(state, _Strata)
        return self.dro.batches(state.over(split), state.dro, size, rng)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Strata)
        return self.dro.loss(batch._replace(group=state.cluster_N[batch.rows]), model, state.dro)

    def end_epoch(self, split: Split, model: Model, state: State, val: Split | None = None) -> None:
        assert isinstance(state, _Strata)
        self.dro.end_epoch(split, model, state.dro)

    def _clusters(self, split: Split, model: Model, val: Split | None, most: int) -> Tensor:
        """(N,) cluster of each training row: `y * most + k`."""
        seed = seed_from_torch()
        points_ND, loss_N = features_in_memory(split, model, normalise=self.unit_features), np.zeros(0)
        val_ND, val_y = points_ND[:0], np.zeros(0, dtype=np.int64)
        if self.overcluster:
            if val is None:
                raise BadInput("overcluster of George needs a validation split: start(train, model, val)")
            val_ND, val_y = features_in_memory(val, model, normalise=self.unit_features), val.y.cpu().numpy()
            loss_N = _losses(split, model)
        y_N = split.y.cpu().numpy()
        cluster_N = np.zeros(len(y_N), dtype=np.int64)
        for c in range(split.n_classes):
            rows = np.flatnonzero(y_N == c)
            if len(rows) == 0:
                continue
            points_MR, val_VR = self._reduced(points_ND[rows], val_ND[val_y == c], model, seed)
            found = searched(points_MR, val_VR, self.clusterer, k=self.clusters, max_k=self.max_clusters, seed=seed)
            if self.overcluster:
                found = split_further(found, points_MR, val_VR, loss_N[rows], self.clusterer, most=most, seed=seed)
            cluster_N[rows] = c * most + found.train
        return torch.from_numpy(cluster_N)

    def _reduced(self, points_MD: Array, val_VD: Array, model: Model, seed: int) -> tuple[Array, Array]:
        if self.reduction != "hardness":
            return reduced(points_MD, val_VD, self.reduction, self.components, seed)
        weight_CD = model.classifier.weight.detach().float().cpu().numpy()
        if len(weight_CD) != 2:
            raise BadInput(f"reduction=hardness of George is for two classes, got {len(weight_CD)}")
        normal_D = weight_CD[1] - weight_CD[0]
        normal_D = normal_D / max(float(np.linalg.norm(normal_D)), float(np.finfo(np.float32).tiny))
        along = [points @ normal_D[:, None] for points in (points_MD, val_VD)]
        if self.components == 1:
            return along[0], along[1]
        rest = [p - a * normal_D for p, a in zip((points_MD, val_VD), along, strict=True)]
        rest_MR, rest_VR = reduced(rest[0], rest[1], "umap", self.components - 1, seed)
        return np.hstack([along[0], rest_MR]), np.hstack([along[1], rest_VR])


@torch.no_grad()
def _losses(split: Split, model: Model) -> Array:
    """(N,) cross-entropy of each row, in eval mode."""
    with model.evaluating():
        loss_N = torch.cat([cross_entropy(model(batch.x), batch.y) for batch in in_chunks(split)])
    return loss_N.float().cpu().numpy()
