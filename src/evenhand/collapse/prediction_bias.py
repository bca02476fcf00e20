"""Model prediction bias: which classes take the probability that belongs to others."""

from __future__ import annotations

import torch
from torch import Tensor

from evenhand.errors import BadInput

from . import _checked
from ._checked import Array


class PredictionBias:
    """Adds up predicted probabilities per group, in memory that does not grow with the rows.

    Cui et al. (2024), Classes are not equal, Definition 2 and Lemma 1.

        own_C    = probability that each class has on its own rows (G_p)
        others_C = probability that each class has on the rows of others (G_n)
        own_C + others_C - count_C = gradient of the summed cross-entropy with respect to the bias

    Needs probabilities of every row.

    Attributes:
        mass_GC: (G, C) float64 sum of the probability of each class over the rows of each group.
        count_G: (G,) float64 rows.
    """

    def __init__(self, n_classes: int, n_attributes: int = 1, device: torch.device | str = "cpu") -> None:
        _checked.sizes(n_classes=n_classes, n_attributes=n_attributes)
        self.n_classes, self.n_attributes, self.device = n_classes, n_attributes, torch.device(device)
        n_groups = n_classes * n_attributes
        self.mass_GC = torch.zeros(n_groups, n_classes, dtype=torch.float64, device=self.device)
        self.count_G = torch.zeros(n_groups, dtype=torch.float64, device=self.device)

    @torch.no_grad()
    def update(self, probability_NC: Array, y_N: Array, group_N: Array | None = None) -> None:
        """Add rows of probabilities, which sum to 1 (not logits).

        Raises:
            BadInput: shapes or indices that do not fit, or a row that is not of probabilities.
        """
        probability = _checked.table("probabilities", probability_NC, self.n_classes).to(self.device, torch.float64)
        group = _checked.groups(y_N, group_N, len(probability), self.n_classes, self.n_attributes, device=self.device)
        fine_N = (probability.sum(1) - 1).abs().le(1e-2) & probability.ge(0).all(1)
        if not bool(fine_N.all()):
            row = int(torch.nonzero(~fine_N)[0])
            raise BadInput(
                f"probabilities must be at least 0 and sum to 1, got {probability[row].tolist()} in row {row}"
            )
        self.mass_GC.index_add_(0, group, probability)
        self.count_G += torch.bincount(group, minlength=len(self.count_G))

    def merge(self, other: PredictionBias) -> PredictionBias:
        """Of the rows of both, on the device of this one.

        Raises:
            BadInput: they differ in classes or attribute values.
        """
        if (self.n_classes, self.n_attributes) != (other.n_classes, other.n_attributes):
            raise BadInput("prediction biases to be merged must be of the same classes and attribute values")
        both = PredictionBias(self.n_classes, self.n_attributes, self.device)
        for one in (self, other):
            both.mass_GC += one.mass_GC.to(self.device)
            both.count_G += one.count_G.to(self.device)
        return both

    @property
    def mass_CC(self) -> Tensor:
        """(C, C) sum over the rows of each class (first) of the probability of each class (second)."""
        return self.mass_GC.view(self.n_classes, self.n_attributes, -1).sum(1)

    @property
    def count_C(self) -> Tensor:
        """(C,) rows of each class."""
        return self.count_G.view(self.n_classes, self.n_attributes).sum(1)

    def own_C(self) -> Tensor:
        """(C,) `G_p`, in rows: true positive mass."""
        return self.mass_CC.diagonal().clone()

    def others_C(self, of: Tensor | None = None) -> Tensor:
        """(C,) `G_n`, in rows: false positive mass; only on the rows of the classes `of`, as in Figure 4(c-e)."""
        mass_CC = self.mass_CC.clone().fill_diagonal_(0)
        return mass_CC.sum(0) if of is None else mass_CC[of].sum(0)

    def effective_frequency_C(self) -> Tensor:
        """(C,) mean probability of their own class over the rows of each class, in [0, 1] (Equation 11)."""
        return self.own_C() / self.count_C

    def bias_gradient_C(self) -> Tensor:
        """(C,) `G_p + G_n - count`, in rows: 0 at a stationary point, on the rows trained on (Lemma 1).

        Only of a classifier with a bias and no weight decay on it; otherwise about 0. Sums to 0.
        """
        return self.mass_CC.sum(0) - self.count_C
