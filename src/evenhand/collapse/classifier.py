"""`Classifier`: weights and bias of the last layer, and the geometry of its weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from evenhand.errors import BadInput

from . import _checked
from ._checked import Array
from .vectors import cosines, lengths


class Classifier(NamedTuple):
    """`logits_BC = features_BD @ weight_CD.T + bias_C`, in float64."""

    weight_CD: Tensor  # noqa: N815
    bias_C: Tensor  # noqa: N815 0 where there is none

    @classmethod
    def of(cls, given: Classifier | nn.Linear | Array, bias: Array | None = None) -> Classifier:
        """From a linear layer, or from weights (C, D) and perhaps a bias (C,).

        Raises:
            BadInput: shapes that do not fit.
        """
        if isinstance(given, Classifier):
            return given
        if isinstance(given, nn.Linear):
            return cls.of(given.weight, given.bias)
        weight_CD = _checked.tensor(given).double()
        if weight_CD.ndim != 2:
            raise BadInput(f"weights of a classifier must have shape [C, D], got {list(weight_CD.shape)}")
        bias_C = weight_CD.new_zeros(len(weight_CD)) if bias is None else _checked.tensor(bias).to(weight_CD)
        if bias_C.shape != weight_CD.shape[:1]:
            raise BadInput(f"the bias must have shape [{len(weight_CD)}], got {list(bias_C.shape)}")
        return cls(weight_CD, bias_C)

    def fits(self, n_classes: int, n_features: int) -> Classifier:
        """Itself.

        Raises:
            BadInput: it is of other classes or features.
        """
        if self.weight_CD.shape != (n_classes, n_features):
            wanted = [n_classes, n_features]
            raise BadInput(f"weights of the classifier must have shape {wanted}, got {list(self.weight_CD.shape)}")
        return self

    def to(self, device: torch.device | str) -> Classifier:
        """The same on `device`."""
        return Classifier(self.weight_CD.to(device), self.bias_C.to(device))


def weight_norm(classifier: Classifier) -> Tensor:
    """(C,) length of each class's weights; classes with shorter ones are predicted less (Kang et al. 2020).

    Cui et al. (2024), Classes are not equal, Section 4.1. Needs weights only.
    """
    return lengths(classifier.weight_CD)


def class_mean_angle(classifier: Classifier) -> Tensor:
    """(C,) mean cosine of each class's weights with those of all classes, itself included; in [-1, 1].

    Cui et al. (2024), Classes are not equal, Equation 2 (CMA): smaller is further from the others, and 0 for every
    class of a simplex. The name is theirs, though it is a cosine. NaN for all where one class has weights 0. Needs
    weights only.
    """
    return cosines(classifier.weight_CD).mean(1)
