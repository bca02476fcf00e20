"""`RowPass`: what needs the class means first, and then every row once more (NC4, distances to class means)."""

from __future__ import annotations

import torch
from torch import Tensor

from evenhand.errors import BadInput

from . import _checked
from ._checked import Array
from ._gram import exactly
from .classifier import Classifier
from .frame import nearest_frame
from .moments import NUMBERS_AT_ONCE, Moments
from .vectors import lengths

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
        classifier: needed for agreement only, which is NaN without it.

    Raises:
        BadInput: the classifier is of other classes or features.
    """

    def __init__(self, moments: Moments, classifier: Classifier | None = None) -> None:
        self.n_classes, self.n_attributes = moments.n_classes, moments.n_attributes
        self.n_features, self._device = moments.n_features, torch.device(moments.device)
        self._sum_GK = torch.zeros(moments.n_groups, len(_COLUMNS), dtype=torch.float64, device=self._device)
        classes = moments.classes()
        # Float32 holds this centre exactly, so that what is subtracted here and from the rows is the same.
        self._centre_D = classes.centre_D().nan_to_num(0).float().double()
        self._mean_CD = (classes.mean_KD - self._centre_D).nan_to_num(0)
        absent_C = torch.where(classes.present_K, 0.0, -torch.inf).double()
        frame = nearest_frame(classes.centred_KD())
        self._has_frame = not bool(frame.frame_KD.isnan().all())
        # Each is a linear classifier of centred features: nearest mean, nearest frame, the network's without bias.
        weights = [2 * self._mean_CD, frame.frame_KD.nan_to_num(0)]
        offsets = [absent_C - self._mean_CD.square().sum(1), absent_C]
        self._bias_C = None
        if classifier is not None:
            classifier = classifier.fits(moments.n_classes, moments.n_features).to(self._device)
            self._bias_C = classifier.bias_C
            weights.append(classifier.weight_CD)
            offsets.append(classifier.weight_CD @ self._centre_D)
        self._weight_DK, self._offset_K = torch.cat(weights).T.contiguous(), torch.cat(offsets)

    @torch.no_grad()
    def update(self, features_ND: Array, y_N: Array, group_N: Array | None = None) -> None:
        """Add rows, as `Moments.update`.

        Raises:
            BadInput: shapes or indices that do not fit.
        """
        features = _checked.table("features", features_ND, self.n_features)
        y = _checked.indices("y", y_N, len(features), self.n_classes, self._device)
        group = _checked.groups(y_N, group_N, len(features), self.n_classes, self.n_attributes, device=self._device)
        at_once = max(1, NUMBERS_AT_ONCE // (self.n_features + len(self._offset_K)))
        for begin in range(0, len(features), at_once):
            rows = slice(begin, begin + at_once)
            self._add(_checked.working(features[rows], self._device), y[rows], group[rows])

    def _add(self, x_BD: Tensor, y_B: Tensor, group_B: Tensor) -> None:
        centred_BD = x_BD - self._centre_D.to(x_BD)
        apart_BD = centred_BD - self._mean_CD.to(x_BD).index_select(0, y_B)
        with exactly():
            score_BK = torch.addmm(self._offset_K.to(x_BD), centred_BD, self._weight_DK.to(x_BD))
        nearest_B, frame_B, *rest = (score_BC.argmax(1) for score_BC in torch.split(score_BK, self.n_classes, 1))
        columns = [torch.ones_like(y_B), lengths(apart_BD), nearest_B == y_B, frame_B == y_B]
        if self._bias_C is not None:
            plain_B = rest[0]
            prediction_B = (score_BK[:, -self.n_classes :] + self._bias_C.to(x_BD)).argmax(1)
            columns += [prediction_B == y_B, prediction_B == nearest_B, plain_B == nearest_B, prediction_B == frame_B]
        for k, column_B in enumerate(columns):
            self._sum_GK[:, k].index_add_(0, group_B, column_B.double())

    def merge(self, other: RowPass) -> RowPass:
        """What both have seen, on the device of this one; both must have begun with the same moments and classifier.

        Raises:
            BadInput: they did not.
        """
        mine, theirs = (torch.cat([one._weight_DK, one._offset_K[None]]).cpu() for one in (self, other))
        if not torch.equal(mine, theirs) or (self._bias_C is None) != (other._bias_C is None):
            raise BadInput("passes to be merged must compare with the same class means and classifier")
        both: RowPass = object.__new__(RowPass)
        both.__dict__.update(self.__dict__, _sum_GK=self._sum_GK + other._sum_GK.to(self._device))
        return both

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
        5(d), who train with such a classifier). NaN where there is no such simplex: fewer dimensions than C - 1.
        """
        return self._mean("nearest_frame", per)

    def frame_agreement(self, per: str = "all") -> Tensor:
        """(K,) share of rows where that simplex and the classifier predict the same; NaN without either."""
        return self._mean("agree_frame", per)

    def _mean(self, column: str, per: str) -> Tensor:
        needs_classifier = column.startswith("agree") or column == "correct"
        if (needs_classifier and self._bias_C is None) or ("frame" in column and not self._has_frame):
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
