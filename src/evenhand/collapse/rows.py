"""`RowPass`: what needs the class means first, and then every row once more (NC1, NC4, distances to class means)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from evenhand.errors import BadInput

from . import _checked
from ._checked import Array
from ._gram import add_gram, exactly, symmetric
from .cells import Cells
from .classifier import Classifier
from .frame import nearest_frame
from .moments import Moments
from .vectors import lengths, principal

NUMBERS_AT_ONCE = 2**19  # of features or scores: stays in the cache
_COLUMNS = ("count", "distance", "nearest", "nearest_frame", "correct", "agree", "agree_without_bias", "agree_frame")


class RowPass:
    """Compares every row with the means of a finished first pass, per group, in memory that does not grow.

        rows = RowPass(moments, classifier)
        for features_ND, y_N, group_N in batches:
            rows.update(features_ND, y_N, group_N)

    The rows may be those of the moments, as in NC4 of Papyan et al., or others: test rows against means of training.
    Nearest is by Euclidean distance, equally near goes to the first class. Classes without rows in the moments are
    nearest to nothing. Float32 features are compared in float32, as seen from the mean of class means.

    Args:
        moments: gives the class means; what is added to it later is not seen.
        classifier: needed for its accuracy and for agreement, which are NaN without it.
        frame: also compare with the simplex nearest to the class means, which is NaN otherwise.

    Raises:
        BadInput: the classifier is of other classes or features.
    """

    def __init__(self, moments: Moments, classifier: Classifier | None = None, *, frame: bool = False) -> None:
        self.n_classes, self.n_attributes = moments.n_classes, moments.n_attributes
        self.n_features, self._device = moments.n_features, torch.device(moments.device)
        self._sum_GK = torch.zeros(moments.n_groups, len(_COLUMNS), dtype=torch.float64, device=self._device)
        self._moments = moments
        fitting = classifier and classifier.fits(self.n_classes, self.n_features).to(self._device)
        reference = _reference(moments.classes(), fitting, frame=frame)
        self._references = {torch.float64: reference, torch.float32: reference.to(torch.float32)}
        n_axes = reference.axes_DR.shape[1]
        self._scatter_RR = torch.zeros(n_axes, n_axes, dtype=torch.float64, device=self._device)

    @torch.no_grad()
    def update(self, features_ND: Array, y_N: Array, group_N: Array | None = None) -> None:
        """Add rows, as `Moments.update`.

        Raises:
            BadInput: shapes or indices that do not fit.
        """
        features = _checked.table("features", features_ND, self.n_features)
        y = _checked.indices("y", y_N, len(features), self.n_classes, self._device)
        group = _checked.groups(y_N, group_N, len(features), self.n_classes, self.n_attributes, device=self._device)
        at_once = max(1, NUMBERS_AT_ONCE // max(self.n_features, self.n_classes))
        for begin in range(0, len(features), at_once):
            rows = slice(begin, begin + at_once)
            self._add(_checked.working(features[rows], self._device), y[rows], group[rows])

    def _add(self, x_BD: Tensor, y_B: Tensor, group_B: Tensor) -> None:
        reference = self._references[x_BD.dtype]
        centred_BD = x_BD - reference.centre_D
        apart_BD = centred_BD - reference.mean_CD.index_select(0, y_B)
        # Class means differ along these axes only, so that nothing else of a row decides which is the nearest.
        with exactly():
            along_BR = apart_BD @ reference.axes_DR
        add_gram(self._scatter_RR, along_BR)
        along_BR = along_BR + reference.place_CR.index_select(0, y_B)
        nearest_B = _scores(along_BR, reference.place_CR, reference.nearest_C).argmax(1)
        columns = {"count": torch.ones_like(y_B), "distance": lengths(apart_BD), "nearest": nearest_B == y_B}
        if reference.frame_CD is not None:
            frame_B = _scores(centred_BD, reference.frame_CD, reference.absent_C).argmax(1)
            columns["nearest_frame"] = frame_B == y_B
        if reference.network is not None:
            score_BC = _scores(centred_BD, reference.network.weight_CD, reference.offset_C)
            columns["agree_without_bias"] = score_BC.argmax(1) == nearest_B
            prediction_B = score_BC.add_(reference.network.bias_C).argmax(1)
            columns["correct"] = prediction_B == y_B
            columns["agree"] = prediction_B == nearest_B
            if reference.frame_CD is not None:
                columns["agree_frame"] = prediction_B == frame_B
        for name, column_B in columns.items():
            self._sum_GK[:, _COLUMNS.index(name)].index_add_(0, group_B, column_B.double())

    def merge(self, other: RowPass) -> RowPass:
        """What both have seen, on the device of this one; both must have begun with the same moments and classifier.

        Raises:
            BadInput: they did not.
        """
        if not self._references[torch.float64].equals(other._references[torch.float64]):
            raise BadInput("passes to be merged must compare with the same class means and classifier")
        both: RowPass = object.__new__(RowPass)
        scatter_RR = self._scatter_RR + other._scatter_RR.to(self._device)
        both.__dict__.update(
            self.__dict__, _sum_GK=self._sum_GK + other._sum_GK.to(self._device), _scatter_RR=scatter_RR
        )
        return both

    def is_of(self, moments: Moments) -> bool:
        """Whether it began with these moments and has seen as many rows of each group as they have."""
        count_G = self._sum_GK[:, _COLUMNS.index("count")]
        return self._moments is moments and torch.equal(count_G, moments.count_G)

    def class_scatter_R(self, axes_DR: Tensor) -> Tensor:
        """(R,) sum over all rows of the squared deviation from their class's mean along orthonormal axes.

        The axes must lie in the space in which class means differ.
        """
        turn_RR = self._references[torch.float64].axes_DR.T @ axes_DR
        return ((symmetric(self._scatter_RR) @ turn_RR) * turn_RR).sum(0)

    def distance(self, per: str = "all") -> Tensor:
        """(K,) mean distance of rows to the mean of their class, at least 0: NC1 in medical imaging.

        Mouheb, Elbatel, Klein and Bron (2024), Evaluating the fairness of neural collapse in medical image
        classification, Equation 1; `per="attribute"` are the `S_a` of Equation 3, which Equation 2 adds up; not
        squared. The paper does not say whose means test rows are compared with: here those of the given moments. NaN
        without rows; for a class that has none in the moments, the distance to the centre.
        """
        return self._mean("distance", per)

    def mismatch(self, per: str = "all") -> Tensor:
        """(K,) share of rows where the nearest class mean is not the classifier's prediction: NC4, 0 is collapse.

        Papyan, Han and Donoho (2020), NC4, on training rows, with the bias. NaN without rows or without a classifier.
        """
        return 1 - self._mean("agree", per)

    def agreement_without_bias(self, per: str = "all") -> Tensor:
        """(K,) share of rows where the nearest class mean is the prediction without the bias: 1 is collapse.

        nc-toolkit's NC4, and that of Mouheb et al. (2024). NaN without rows or without a classifier.
        """
        return self._mean("agree_without_bias", per)

    def accuracy(self, per: str = "all") -> Tensor:
        """(K,) accuracy of the classifier, in [0, 1]; NaN without one."""
        return self._mean("correct", per)

    def nearest_accuracy(self, per: str = "all") -> Tensor:
        """(K,) accuracy of going to the nearest class mean, in [0, 1]."""
        return self._mean("nearest", per)

    def frame_accuracy(self, per: str = "all") -> Tensor:
        """(K,) accuracy of the simplex nearest to the centred class means, as a classifier of centred features.

        If classes are unequal with it too, that is the features' doing (Cui et al. 2024, Classes are not equal, Figure
        5(d), who train with such a classifier). NaN without `frame`, or with fewer dimensions than C - 1.
        """
        return self._mean("nearest_frame", per)

    def frame_agreement(self, per: str = "all") -> Tensor:
        """(K,) share of rows where that simplex and the classifier predict the same; NaN as both."""
        return self._mean("agree_frame", per)

    def _mean(self, column: str, per: str) -> Tensor:
        reference = self._references[torch.float64]
        needs_classifier = column.startswith("agree") or column == "correct"
        if (needs_classifier and reference.network is None) or ("frame" in column and reference.frame_CD is None):
            return torch.full_like(self._pooled("count", per), torch.nan)
        return self._pooled(column, per) / self._pooled("count", per)

    def _pooled(self, column: str, per: str) -> Tensor:
        sum_CA = self._sum_GK[:, _COLUMNS.index(column)].view(self.n_classes, self.n_attributes)
        match per:
            case "all":
                return sum_CA.sum().view(1)
            case "class":
                return sum_CA.sum(1)
            case "attribute":
                return sum_CA.sum(0)
            case "group":
                return sum_CA.flatten()
        raise BadInput(f"per must be 'all', 'class', 'attribute' or 'group', got {per!r}")


class _Reference(NamedTuple):
    """What rows are compared with, as seen from the centre.

    `nearest_C` and `absent_C` are -inf for a class without rows; `offset_C` are the network's logits of the centre;
    `axes_DR` are orthonormal and span the differences of class means, `place_CR` are the means along them.
    """

    centre_D: Tensor  # noqa: N815
    mean_CD: Tensor  # noqa: N815
    nearest_C: Tensor  # noqa: N815
    absent_C: Tensor  # noqa: N815
    network: Classifier | None
    offset_C: Tensor  # noqa: N815
    axes_DR: Tensor  # noqa: N815
    place_CR: Tensor  # noqa: N815
    frame_CD: Tensor | None  # noqa: N815

    def to(self, where: torch.dtype | str) -> _Reference:
        """The same in another precision, or elsewhere."""
        network = self.network and Classifier(*(values.to(where) for values in self.network))
        frame_CD = None if self.frame_CD is None else self.frame_CD.to(where)
        centre_D, mean_CD, nearest_C, absent_C = (values.to(where) for values in self[:4])
        offset_C, axes_DR, place_CR = (values.to(where) for values in self[5:8])
        return _Reference(centre_D, mean_CD, nearest_C, absent_C, network, offset_C, axes_DR, place_CR, frame_CD)

    def equals(self, other: _Reference) -> bool:
        """Whether all is the same, on whatever devices."""
        pairs = zip(self._tensors(), other._tensors(), strict=True)
        return all(a is b if a is None or b is None else torch.equal(a.cpu(), b.cpu()) for a, b in pairs)

    def _tensors(self) -> list[Tensor | None]:
        return [*self[:4], *(self.network or (None, None)), *self[5:]]


def _reference(classes: Cells, network: Classifier | None, *, frame: bool) -> _Reference:
    # Float32 holds this centre exactly, so that what is subtracted from means and from rows is the same.
    centre_D = classes.centre_D().nan_to_num(0).float().double()
    mean_CD = (classes.mean_KD - centre_D).nan_to_num(0)
    absent_C = torch.where(classes.present_K, 0.0, -torch.inf).double()
    frame_CD = nearest_frame(classes.centred_KD()).frame_KD if frame else None
    if frame_CD is not None:
        frame_CD = None if bool(frame_CD.isnan().all()) else frame_CD.nan_to_num(0)
    axes_DR = torch.linalg.qr(principal(mean_CD[classes.present_K] - mean_CD[classes.present_K].mean(0))[0])[0]
    place_CR = mean_CD @ axes_DR
    # The nearest mean is that of the largest product less half its own squared length.
    nearest_C = absent_C - place_CR.square().sum(1) / 2
    offset_C = torch.zeros_like(absent_C) if network is None else network.weight_CD @ centre_D
    return _Reference(centre_D, mean_CD, nearest_C, absent_C, network, offset_C, axes_DR, place_CR, frame_CD)


def _scores(centred_BD: Tensor, weight_CD: Tensor, bias_C: Tensor) -> Tensor:
    """(B, C) of a linear classifier."""
    with exactly():
        return torch.addmm(bias_C, centred_BD, weight_CD.T)
