"""NC3, self-duality: whether the classifier's weights are the class means.

Classes without rows are left out of both. Needs `Moments` and a `Classifier`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .cells import Centre
from .classifier import Classifier
from .moments import Moments
from .vectors import lengths, simplex_error


def distance(moments: Moments, classifier: Classifier, *, centre: Centre = "classes") -> float:
    """Squared distance between weights and centred means, each scaled to Frobenius norm 1; in [0, 4].

    Papyan, Han and Donoho (2020), NC3. NaN where either is 0.
    """
    weight_CD, mean_CD = _matched(moments, classifier, centre)
    apart_CD = weight_CD / torch.linalg.norm(weight_CD) - mean_CD / torch.linalg.norm(mean_CD)
    return float(apart_CD.square().sum())


def product_error(moments: Moments, classifier: Classifier, *, centre: Centre = "classes") -> float:
    """Distance of `weight_CD @ mean_CD.T`, scaled to Frobenius norm 1, to that of a simplex; in [0, 2].

    Zhu et al. (2021), NC3, there with `centre="rows"`. NaN with fewer than two classes, or where the product is 0.
    """
    weight_CD, mean_CD = _matched(moments, classifier, centre)
    return simplex_error(weight_CD @ mean_CD.T)


def logit_variance(moments: Moments, classifier: Classifier, *, centre: Centre = "classes") -> float:
    """Variance (by C - 1) over classes of the centred mean's logit of its own class, without bias.

    nc-toolkit's uniform duality: 0 is uniform. NaN with fewer than two classes.
    """
    weight_CD, mean_CD = _matched(moments, classifier, centre)
    own_C = (weight_CD * mean_CD).sum(1)
    return math.nan if len(own_C) < 2 else float(own_C.var())


def bias_relation(moments: Moments, classifier: Classifier, *, centre: Centre = "rows") -> float:
    """Length of `weight_CD @ centre_D + bias_C`: 0 where the bias takes the global mean away (Zhu et al. 2021)."""
    classifier = _fitting(moments, classifier)
    centre_D = moments.classes().centre_D(centre)
    return float(torch.linalg.vector_norm(classifier.weight_CD @ centre_D + classifier.bias_C))


def cosine(moments: Moments, classifier: Classifier, *, centre: Centre = "classes") -> Tensor:
    """(C,) cosine of each class's weights and centred mean, in [-1, 1].

    Mouheb, Elbatel, Klein and Bron (2024), Evaluating the fairness of neural collapse in medical image classification,
    NC3: `mean / |mean| = weight / |weight|` is a cosine of 1. NaN for a class without rows, or where either vector is
    0.
    """
    classifier = _fitting(moments, classifier)
    unit_CD = moments.classes().centred_KD(centre)
    unit_CD = unit_CD / lengths(unit_CD)[:, None]
    weight_CD = classifier.weight_CD
    return ((unit_CD * weight_CD).sum(1) / lengths(weight_CD)).clamp(-1, 1)


def weight_cosine(moments: Moments, classifier: Classifier) -> Tensor:
    """(G,) cosine of each group's mean and the weights of its class, neither centred: who the classifier looks at.

    What NC-debias (Lu, Chai and Wang 2024, Section 4) makes 1 for the largest group of each class. NaN without rows.
    """
    weight_CD = _fitting(moments, classifier).weight_CD
    own_GD = weight_CD.repeat_interleave(moments.n_attributes, 0)
    return F.cosine_similarity(moments.groups().mean_KD, own_GD, dim=1)


def _matched(moments: Moments, classifier: Classifier, centre: Centre) -> tuple[Tensor, Tensor]:
    """Weights and centred means of the classes that have rows."""
    classes = moments.classes()
    weight_CD = _fitting(moments, classifier).weight_CD[classes.present_K]
    return weight_CD, classes.centred_KD(centre)[classes.present_K]


def _fitting(moments: Moments, classifier: Classifier) -> Classifier:
    return classifier.fits(moments.n_classes, moments.n_features).to(moments.device)
