"""Whether classes are as far apart for their small groups as for their large ones (Lu, Chai and Wang 2024).

Cosines of means as they are, without a centre; small is well separated. The paper has two classes: with more, the mean
over pairs of classes; NaN for a pair that lacks rows. Needs `Moments`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from evenhand.errors import BadInput

from .cells import nan_mean
from .classifier import Classifier
from .moments import Moments
from .vectors import cosines


def class_cosine(moments: Moments) -> float:
    """`d_cls` of Lu, Chai and Wang (2024), Section 3.1: cosine of the mean features of two classes, in [-1, 1]."""
    return _mean_over_pairs(moments.classes().mean_KD)


def majority_cosine(moments: Moments, count_G: Tensor | None = None) -> float:
    """`d_maj`: as `class_cosine`, of the means of the largest group of each class.

    Largest is by `count_G`, rows of each group in training; by default in these moments. Equally large: the first.
    """
    return _mean_over_pairs(moments.groups().mean_KD[majority(moments, count_G)])


def minority_cosine(moments: Moments, count_G: Tensor | None = None) -> float:
    """`d_min`: as `majority_cosine`, of the smallest group of each class; NaN with one attribute value.

    A class's largest group is never its smallest; equally small: the first. Groups may be the smallest without rows.
    """
    if moments.n_attributes == 1:
        return math.nan
    return _mean_over_pairs(moments.groups().mean_KD[minority(moments, count_G)])


def weight_cosine(classifier: Classifier) -> float:
    """`w_sim`: as `class_cosine`, of the classifier's weights. Needs weights only."""
    return _mean_over_pairs(classifier.weight_CD)


def majority(moments: Moments, count_G: Tensor | None = None) -> Tensor:
    """(C,) the group with the most rows of each class.

    Raises:
        BadInput: as many counts as groups are needed.
    """
    return _counts(moments, count_G).argmax(1) + _first_group(moments)


def minority(moments: Moments, count_G: Tensor | None = None) -> Tensor:
    """(C,) the group with the fewest rows of each class, other than the one with the most; as `majority`."""
    count_CA = _counts(moments, count_G)
    largest_C = count_CA.argmax(1, keepdim=True)
    return count_CA.scatter(1, largest_C, math.inf).argmin(1) + _first_group(moments)


def _counts(moments: Moments, count_G: Tensor | None) -> Tensor:
    count_G = moments.count_G if count_G is None else torch.as_tensor(count_G).to(moments.count_G)
    if count_G.shape != (moments.n_groups,):
        raise BadInput(f"count_G must have {moments.n_groups} counts, got shape {list(count_G.shape)}")
    return count_G.view(moments.n_classes, moments.n_attributes)


def _first_group(moments: Moments) -> Tensor:
    return torch.arange(moments.n_classes, device=moments.device) * moments.n_attributes


def _mean_over_pairs(vectors_CD: Tensor) -> float:
    cosine_CC = cosines(vectors_CD)
    first_P, second_P = torch.triu_indices(len(cosine_CC), len(cosine_CC), 1, device=cosine_CC.device)
    return nan_mean(cosine_CC[first_P, second_P])
