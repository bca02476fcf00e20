"""Generalised parametric contrastive learning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from evenhand import sampling
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.losses import at_least_single
from evenhand.methods._base import Method, State, loss_dtype, require_range
from evenhand.methods._classes import log_prior
from evenhand.methods._normalise import BatchNorm
from evenhand.model import Model, in_chunks


class _Memory(State):
    """The projection head, the queue, and for PaCo the momentum copies of encoder and head (as buffers)."""

    def __init__(self, head: nn.Module, prior_C: Tensor, momentum: nn.Module | None) -> None:
        super().__init__()
        self.head = head
        self.prior_C = nn.Buffer(prior_C, persistent=False)
        self.momentum = momentum
        self.queue_KE: Tensor
        self.label_K: Tensor
        self.next: Tensor

    def fill(self, queue_KE: Tensor, label_K: Tensor) -> None:
        """Begin with these projections and their labels."""
        self.queue_KE, self.label_K = nn.Buffer(queue_KE), nn.Buffer(label_K)
        self.next = nn.Buffer(torch.zeros_like(label_K[0]))

    @torch.no_grad()
    def enqueue(self, projected_BE: Tensor, y_B: Tensor) -> None:
        """Overwrite the oldest entries, round and round; of more rows than the queue holds, the last remain."""
        n_entries = len(self.label_K)
        projected_BE, y_B = projected_BE[-n_entries:], y_B[-n_entries:]
        place_B = (self.next + torch.arange(len(y_B), device=y_B.device)) % n_entries
        self.queue_KE.index_copy_(0, place_B, projected_BE.to(self.queue_KE.dtype))
        self.label_K.index_copy_(0, place_B, y_B)
        self.next.add_(len(y_B)).remainder_(n_entries)


@dataclass(frozen=True)
class GPaCo(Method):
    """Cross-entropy and contrast in one softmax: other rows of the same class count as right answers beside the class.

    Cui, Zhong, Tian, Liu, Yu and Jia (2023), Generalized parametric contrastive learning, and (with `momentum_encoder`)
    Cui, Zhong, Liu, Yu and Jia (2021), Parametric contrastive learning.

        z        = normalize(head(features)), of each anchor, of the other rows and of the queue's K older ones
        logits   = [(classifier(features) + log_prior_C) / class_temperature, z_anchor @ z_other / temperature]
        target   = [beta * one_hot(y) with smoothing,                         alpha where the classes are equal]
        log_p    = logits - log(sum of exp(class logits) + gamma * sum of exp(other logits))
        loss     = mean over anchors of -(target * log_p).sum() / target.sum()

    The classifier's weights are the classes' learned centers. A batch is two views of its rows, one after the other: an
    augmentation draws for each separately; of inputs that are not augmented both are the same. Both are anchors, with
    gradients through all; the second is queued. With `momentum_encoder` the first alone are anchors, and the second are
    projected by a slowly following copy of encoder and head, without gradient. The queue begins with random training
    rows as the fresh network projects them, and holds at most as many as there are.

    Attributes:
        alpha: weight of each row of the same class, at least 0; 0 leaves the classes' part. .01 to .05 in the papers.
        beta: weight of the class, above 0.
        gamma: weight of other rows in the denominator, at least 0.
        temperature: of the contrast, above 0; .07 for CIFAR, .2 for ImageNet in the papers.
        class_temperature: of the class logits, above 0.
        smoothing: share of the class's target that is spread evenly over the others, in [0, 1).
        use_prior: add log of the classes' training frequencies to the class logits in training, for imbalanced data.
        queue: older rows that are compared with, at least 1; 1024 for CIFAR-100, 8192 for ImageNet in the papers.
        dimension: of the projections, at least 1.
        momentum_encoder: as in PaCo: keys from a momentum copy, two layers with batch normalisation as the head
            instead of three without.
        momentum: of that copy, in [0, 1]; 1 never moves it.

    Raises:
        BadInput: an option outside its range, or no training rows.

    Differs from the authors' code: the queue begins with real projections, not random directions with random labels,
    and any batch fits into it; batch sizes count views, two a row.
    """

    alpha: float = 0.05
    beta: float = 1.0
    gamma: float = 1.0
    temperature: float = 0.2
    class_temperature: float = 1.0
    smoothing: float = 0.0
    use_prior: bool = False
    queue: int = 1024
    dimension: int = 128
    momentum_encoder: bool = False
    momentum: float = 0.999

    source = "https://github.com/dvlab-research/Parametric-Contrastive-Learning"

    def __post_init__(self) -> None:
        for option in ("alpha", "gamma"):
            require_range(self, option, 0)
        for option in ("beta", "temperature", "class_temperature"):
            require_range(self, option, 0, above=True)
        for option in ("queue", "dimension"):
            require_range(self, option, 1)
        require_range(self, "momentum", 0, 1)
        if not 0 <= self.smoothing < 1:
            raise BadInput(f"smoothing of GPaCo must be in [0, 1), got {self.smoothing!r}")

    @torch.no_grad()
    def start(self, split: Split, model: Model, val: Split | None = None) -> State:
        if len(split) == 0:
            raise BadInput("GPaCo needs training rows, got none")
        weight, dtype = model.classifier.weight, loss_dtype(model)
        head = self._head(model.classifier.in_features).to(weight)
        prior_C = log_prior(split.count_C.to(dtype)) if self.use_prior else weight.new_zeros(len(weight), dtype=dtype)
        state = _Memory(head, prior_C, _constant(model.encoder, head) if self.momentum_encoder else None)
        rows = torch.randperm(len(split))[: self.queue].to(split.y.device)
        with model.evaluating():
            parts = [_projected(head.eval(), model.encoder(batch.x)) for batch in in_chunks(split, rows)]
        head.train()
        state.fill(torch.cat(parts).to(dtype), split.y[rows])
        return state

    def batches(self, split: Split, state: State, size: int, rng: Generator) -> Iterator[Tensor]:
        for rows in sampling.in_batches(sampling.shuffled(len(split), rng), max(1, size // 2)):
            yield torch.cat([rows, rows])

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        assert isinstance(state, _Memory)
        if self.momentum_encoder:
            return self._momentum_loss(batch, model, state)
        features_BD = model.encoder(batch.x)
        z_BE = _projected(state.head, features_BD)
        queue_KE, label_K = state.queue_KE.clone(), state.label_K.clone()  # those of before this batch have a gradient
        second = len(batch.y) // 2
        state.enqueue(z_BE[second:].detach(), batch.y[second:])
        logits_BC = self._class_logits(features_BD, model, state)
        return self._contrast(logits_BC, batch.y, z_BE, torch.cat([z_BE, queue_KE]), torch.cat([batch.y, label_K]))

    def _momentum_loss(self, batch: Batch, model: Model, state: _Memory) -> Tensor:
        anchors = (len(batch.y) + 1) // 2
        features_BD = model.encoder(batch.x[:anchors])
        z_BE = _projected(state.head, features_BD)
        with torch.no_grad():
            assert isinstance(state.momentum, nn.ModuleDict)
            _follow(state.momentum, {"encoder": model.encoder, "head": state.head}, self.momentum)
            keys = batch.x[anchors:] if anchors < len(batch.y) else batch.x
            key_y = batch.y[anchors:] if anchors < len(batch.y) else batch.y
            key_BE = _projected(state.momentum["head"], state.momentum["encoder"](keys))
        others = torch.cat([z_BE, key_BE, state.queue_KE])
        labels = torch.cat([batch.y[:anchors], key_y, state.label_K])
        state.enqueue(key_BE, key_y)
        logits_BC = self._class_logits(features_BD, model, state)
        return self._contrast(logits_BC, batch.y[:anchors], z_BE, others, labels)

    def _class_logits(self, features_BD: Tensor, model: Model, state: _Memory) -> Tensor:
        return (at_least_single(model.classifier(features_BD)) + state.prior_C) / self.class_temperature

    def _contrast(self, logits_BC: Tensor, y_B: Tensor, z_BE: Tensor, z_ME: Tensor, y_M: Tensor) -> Tensor:
        """The loss of B anchors against C classes and M rows, of which the first B are the anchors themselves."""
        n_anchors, n_classes = logits_BC.shape
        own_BM = torch.eye(n_anchors, len(y_M), dtype=torch.bool, device=y_M.device)
        similar_BM = z_BE @ z_ME.T / self.temperature
        log_gamma = math.log(self.gamma) if self.gamma > 0 else -math.inf
        weighed_BM = (similar_BM + log_gamma).masked_fill(own_BM, -torch.inf)
        log_total_B1 = torch.cat([logits_BC, weighed_BM], 1).logsumexp(1, keepdim=True)
        spread = self.smoothing / max(1, n_classes - 1)
        class_BC = torch.full_like(logits_BC, spread).scatter(1, y_B[:, None], 1 - self.smoothing) * self.beta
        same_BM = self.alpha * ((y_B[:, None] == y_M) & ~own_BM).to(similar_BM.dtype)
        weight_B = class_BC.sum(1) + same_BM.sum(1)
        fitted_B = (class_BC * (logits_BC - log_total_B1)).sum(1) + (same_BM * (similar_BM - log_total_B1)).sum(1)
        return -(fitted_B / weight_B).mean()

    def _head(self, n_features: int) -> nn.Sequential:
        if self.momentum_encoder:
            norm = BatchNorm(n_features)
            return nn.Sequential(
                nn.Linear(n_features, n_features), norm, nn.ReLU(), nn.Linear(n_features, self.dimension)
            )
        return nn.Sequential(
            nn.Linear(n_features, n_features),
            nn.ReLU(),
            nn.Linear(n_features, n_features),
            nn.ReLU(),
            nn.Linear(n_features, self.dimension),
        )


def _projected(head: nn.Module, features_BD: Tensor) -> Tensor:
    return F.normalize(at_least_single(head(features_BD)), dim=1)


def _constant(encoder: nn.Module, head: nn.Module) -> nn.ModuleDict:
    """Copies whose weights are buffers: stored with the state, but not trained."""
    copies = nn.ModuleDict({"encoder": deepcopy(encoder), "head": deepcopy(head)})
    for module in copies.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            setattr(module, name, nn.Buffer(parameter.detach().clone()))
    return copies


def _follow(copies: nn.ModuleDict, originals: dict[str, nn.Module], momentum: float) -> None:
    """Move the copies' weights towards those of the originals."""
    for part, original in originals.items():
        theirs = dict(copies[part].named_buffers())
        for name, parameter in original.named_parameters():
            theirs[name].lerp_(parameter, 1 - momentum)
