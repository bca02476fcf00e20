"""MoCo v2: tell the other view of an image from the many images in a queue."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from evenhand.errors import BadInput
from evenhand.inputs.views import View, Views
from evenhand.pretraining._base import Objective, fused, in_full, without_autocast

TOGETHER = 32  # images that batch normalisation sees together, as on one of the authors' eight GPUs
QUEUED = 0.1  # largest share of the training images in the queue: an older key of the image itself is no negative


@dataclass(frozen=True)
class MoCo(Objective):
    """Contrast each query with the key of its other view and with a queue of keys of earlier batches.

    He et al. (2020), Momentum contrast for unsupervised visual representation learning, Equation 1 and Algorithm 1;
    Chen et al. (2020), Improved baselines with momentum contrastive learning, with the loss, the queue and the head
    of lightly. Queries `q_BK` and keys `k_BK` have length 1, `queue_MK` are the last M keys:

        loss = cross_entropy([q · k, q @ queue.T] / temperature, 0), then k enters the queue
        key weights = momentum * key weights + (1 - momentum) * query weights, before the keys

    Differs from the authors' code: on one device batch normalisation would tell an image's own batch from the queue,
    so queries pass it 32 at a time, and keys 32 at a time in another order, as they do on the authors' eight GPUs; the
    queue holds at most a tenth of the training images, in whole batches, and at least one batch.

    Attributes:
        batch_size, lr, weight_decay, warm_up: see `Objective`.
        dimension: K, of queries and keys.
        queue: keys that are remembered, at most.
        momentum: of the key encoder, in [0, 1].
        temperature: above 0; small ones mind the most similar keys.
        window, hue, grey: see `inputs.views.View`: smallest share of the image in a window; turn of the colour wheel;
            probability of losing the colours. Where images differ in colour alone, turn it further.
    """

    lr: float = 0.03
    weight_decay: float = 1e-4
    warm_up: float = 0.0
    dimension: int = 128
    queue: int = 65536
    momentum: float = 0.999
    temperature: float = 0.2
    window: float = 0.2
    hue: float = 0.1
    grey: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension < 1 or self.queue < 1:
            raise BadInput(f"dimension and queue of moco must be at least 1, got {self.dimension} and {self.queue}")
        if not 0 <= self.momentum <= 1:
            raise BadInput(f"momentum of moco must lie in [0, 1], got {self.momentum}")
        if self.temperature < 1e-6:
            raise BadInput(f"temperature of moco must be positive, got {self.temperature}")

    def views(self, size: int) -> Views:
        """Two of the same kind."""
        drawn = View((self.window, 1.0), saturation=0.4, hue=self.hue, grey=self.grey)
        return Views(size, (drawn, drawn))

    def optimizer(self, learner: nn.Module) -> Optimizer:
        return torch.optim.SGD(self.grouped(learner, all_decay=True), momentum=0.9, fused=fused(learner))

    def learner(self, encoder: nn.Module, n_features: int, n_rows: int, *, fresh: bool) -> nn.Module:
        return Contrast(encoder, n_features, n_rows, self)

    def queue_length(self, n_rows: int) -> int:
        """M: how many keys are remembered with so many training images."""
        batch = min(self.batch_size, n_rows)
        return max(batch, min(self.queue, int(QUEUED * n_rows)) // batch * batch)


class Contrast(nn.Module):
    """Query encoder with its head, the key encoder that follows them, and the queue."""

    def __init__(self, encoder: nn.Module, n_features: int, n_rows: int, objective: MoCo) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import MoCoProjectionHead

        super().__init__()
        self.query = nn.Sequential(encoder, MoCoProjectionHead(n_features, n_features, objective.dimension))
        self.key = deepcopy(self.query).requires_grad_(False)
        self.momentum = objective.momentum
        bank = (objective.queue_length(n_rows), objective.dimension)
        self.loss = NTXentLoss(objective.temperature, memory_bank_size=bank)
        self.normalises = any(isinstance(module, _BatchNorm) for module in encoder.modules())

    def forward(self, views_BV: Tensor) -> Tensor:
        queries, keys = views_BV.unbind(1)
        q_BK, k_BK = in_full(self._in_parts(self.query, queries), self._keys(keys))
        with without_autocast(q_BK):
            loss: Tensor = self.loss(q_BK, k_BK)
        return loss

    @torch.no_grad()
    def _keys(self, x_BCHW: Tensor) -> Tensor:
        """(B, K) keys, of weights that have followed the query's, batch normalisation seeing them in another order."""
        from lightly.models.utils import batch_shuffle, batch_unshuffle, update_momentum

        update_momentum(self.query, self.key, self.momentum)
        shuffled, order_B = batch_shuffle(x_BCHW)
        keys_BK: Tensor = batch_unshuffle(self._in_parts(self.key, shuffled), order_B)
        return keys_BK

    def _in_parts(self, branch: nn.Module, x_BCHW: Tensor) -> Tensor:
        n_parts = max(1, len(x_BCHW) // TOGETHER) if self.normalises else 1
        return torch.cat([branch(part) for part in x_BCHW.chunk(n_parts)])

    def get_extra_state(self) -> dict[str, Tensor]:
        """The queue, which lightly leaves out of what modules store."""
        bank = self.loss.memory_bank
        return {"bank": bank.bank, "place": bank.bank_ptr}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        bank = self.loss.memory_bank
        bank.bank.copy_(state["bank"])
        bank.bank_ptr.copy_(state["place"])
