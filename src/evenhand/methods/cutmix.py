"""CutMix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evenhand.batch import Batch
from evenhand.methods._base import Method, State, require_range
from evenhand.methods._mixing import Pairs, permutation, share, unrecorded_logits, with_box
from evenhand.model import Model


@dataclass(frozen=True)
class CutMix(Method):
    """Trains on images with a box of another image pasted in, labelled by area; needs no groups.

    Yun, Han, Oh, Chun, Choe and Yoo (2019), CutMix: Regularization strategy to train strong classifiers with
    localizable features, Equations 1 and 2.

        box   = of sqrt(1 - share) of height and width around a random pixel, cut off at the edge; share ~ Beta(alpha,
                alpha); the same for the whole batch
        share = 1 - area of the box / area of the image
        loss  = share * cross_entropy(logits_BC, y_B) + (1 - share) * cross_entropy(logits_BC, y_B[partner_B])

    Partners are a random permutation of the batch. A mixture has no single label: training figures of single rows, and
    so of groups, are not recorded.

    Attributes:
        alpha: beta of the paper, at least 0; 0 pastes nothing, 1 draws the share uniformly.
        probability: of mixing a batch, in [0, 1]; other batches are plain. The authors have .5 for CIFAR and 1 for
            ImageNet.

    Raises:
        BadInput: an option outside its range, or inputs that are not images (B, channels, height, width).

    Differs from the authors' code: height and width have their usual order, which is the same for square images.
    """

    alpha: float = 1.0
    probability: float = 0.5

    source = "https://github.com/clovaai/CutMix-PyTorch"

    def __post_init__(self) -> None:
        require_range(self, "alpha", 0)
        require_range(self, "probability", 0, 1)

    def loss(self, batch: Batch, model: Model, state: State) -> Tensor:
        wanted = share(self.alpha) if float(torch.rand(())) < self.probability else 1.0
        partner_B = permutation(batch.y)
        x, left = with_box(batch.x, partner_B, wanted)
        logits_BC = unrecorded_logits(model, model.encoder(x))
        return Pairs(None, partner_B, left).mean_loss(logits_BC, batch.y)
