"""Barlow Twins: features of two views of an image agree, and no two features say the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from evenhand.errors import BadInput
from evenhand.inputs.views import View, Views
from evenhand.pretraining._base import Objective, in_full, without_autocast


@dataclass(frozen=True)
class BarlowTwins(Objective):
    """Bring the cross-correlation of the projections of two views near the identity.

    Zbontar et al. (2021), Barlow Twins: Self-supervised learning via redundancy reduction, Equation 1, with the loss
    and the projector of lightly. `z1_BK`, `z2_BK` are the projections, each column standardised over the batch:

        C_KK = z1_BK.T @ z2_BK / B
        loss = sum_i (1 - C_ii)**2 + redundancy * sum_{i != j} C_ij**2

    Differs from the authors' code: SGD where theirs is LARS; the learning rate falls to 0, not to a thousandth; the
    projector's last layer has a bias, which the standardisation removes; three layers of `dimension`, which ClusterFix
    (2024) sets to 1024 with batches of 256 (theirs: 8192 and 2048); windows of at least a fifth of the image (theirs
    0.08). ClusterFix trains at a fixed rate of 0.6, about what 0.06 comes to with momentum.

    Attributes:
        batch_size, lr, weight_decay, warm_up: see `Objective`.
        dimension: K, of the projector's three layers.
        redundancy: weight of the correlations between different features, at least 0.
        window, hue, grey: see `inputs.views.View`: smallest share of the image in a window; turn of the colour wheel;
            probability of losing the colours. Where images differ in colour alone, turn it further.
    """

    lr: float = 0.06
    weight_decay: float = 1e-6
    warm_up: float = 0.1
    dimension: int = 1024
    redundancy: float = 0.0051
    window: float = 0.2
    hue: float = 0.1
    grey: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension < 2 or self.redundancy < 0:
            raise BadInput(
                "dimension of barlowtwins must be at least 2 and redundancy not negative, "
                f"got {self.dimension} and {self.redundancy}"
            )

    def views(self, size: int) -> Views:
        """Two: the first always blurred, the second seldom, but solarised now and then."""
        drawn = View((self.window, 1.0), hue=self.hue, grey=self.grey)
        return Views(size, (replace(drawn, blur=1.0), replace(drawn, blur=0.1, solarise=0.2)))

    def learner(self, encoder: nn.Module, n_features: int, n_rows: int, *, fresh: bool) -> nn.Module:
        return _Twins(encoder, n_features, self)


class _Twins(nn.Module):
    """Encoder and projector; each view passes them by itself, as batch normalisation is to see one view at a time."""

    def __init__(self, encoder: nn.Module, n_features: int, objective: BarlowTwins) -> None:
        from lightly.loss import BarlowTwinsLoss
        from lightly.models.modules import BarlowTwinsProjectionHead

        super().__init__()
        self.encoder = encoder
        self.projector = BarlowTwinsProjectionHead(n_features, objective.dimension, objective.dimension)
        self.loss = BarlowTwinsLoss(objective.redundancy)

    def forward(self, views_BV: Tensor) -> Tensor:
        z1_BK, z2_BK = in_full(*(self.projector(self.encoder(view)) for view in views_BV.unbind(1)))
        with without_autocast(z1_BK):
            loss: Tensor = self.loss(z1_BK, z2_BK)
        return loss
