"""NC5: whether features of rows of no class are orthogonal to the class means."""

from __future__ import annotations

from torch import Tensor

from evenhand.errors import BadInput

from .moments import Moments
from .vectors import lengths


def outlier_cosine(moments: Moments, outliers: Moments) -> Tensor:
    """(C,) |cosine| of each class mean and the mean feature of outliers, in [0, 1]; 0 is orthogonal.

    Ammar et al. (2024), NECO: neural collapse based out-of-distribution detection, NC5, whose figure is the mean over
    classes. Neither mean is centred. NaN for a class without rows. Needs two `Moments`; that of the outliers may have
    any classes.

    Raises:
        BadInput: they differ in the number of features.
    """
    if moments.n_features != outliers.n_features:
        raise BadInput(f"outliers must have {moments.n_features} features, got {outliers.n_features}")
    mean_CD = moments.classes().mean_KD
    mean_D = outliers.everything().mean_KD[0].to(moments.device)
    length_C = lengths(mean_CD) * lengths(mean_D[None])
    cosine_C: Tensor = mean_CD @ mean_D / length_C
    return cosine_C.abs().clamp(max=1)
