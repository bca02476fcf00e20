"""Mixup."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from evenhand.batch import Batch
from evenhand.methods._base import Method, State, require_range
from evenhand.methods._mixing import Level, Pairs, mixed_logits, permutation, share
from evenhand.model import Model


@dataclass(frozen=True)
class Mixup(Method):
    """Trains on convex combinations of two rows and of their labels; needs no groups.

    Zhang, Cisse, Dauphin and Lopez-Paz (2018), mixup: Beyond empirical risk minimization; at the level of features
    Verma et al. (2019), Manifold mixup, with the last hidden layer.

        x_mixed = share * x_B + (1 - share) * x_B[partner_B]                share ~ Beta(alpha, alpha), one a batch
        loss    = share * cross_entropy(logits_BC, y_B) + (1 - share) * cross_entropy(logits_BC, y_B[partner_B])

    Partners are a random permutation of the batch, so that a row may meet itself. A mixture has no single label:
    training figures of single rows, and so of groups, are not recorded.

    Attributes:
        alpha: at least 0; 0 mixes nothing, 1 draws the share uniformly, large values mix half and half. The authors
            have 1 for CIFAR and .2 for ImageNet.
        level: "input"; "feature", what the encoder gives; or "auto": inputs, unless they are whole numbers (tokens).

    Raises:
        BadInput: an option outside its range, or integer inputs at level "input".

    Differs from the authors' code: no epoch is selected on test accuracy; at the level of features, that of the last
    layer only, not a random one.
    """

    alpha: float = 1.0
    level: Level = "auto"

    source = "https://github.com/facebookresearch/mixup-cifar10"

    def __post_init__(self) -> None:
        require_range(self, "alpha", 0)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        pairs = Pairs(None, permutation(batch.y), share(self.alpha))
        return pairs.mean_loss(mixed_logits(model, batch.x, pairs.mix, self.level), batch.y)
