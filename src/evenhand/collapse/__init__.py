"""Neural collapse and the geometry of features and classifiers, overall, per class and per group.

    moments = Moments(n_features, n_classes, n_attributes, full=True)
    for features_ND, y_N, group_N in batches:            one pass, memory does not grow
        moments.update(features_ND, y_N, group_N)
    classifier = Classifier.of(model.classifier)
    measure(moments, classifier)                         {"nc1_papyan": 0.09, "d_maj": -0.31, ...}
    class_table(moments, classifier)                     columns of one number a class
    group_table(moments, classifier)                     columns of one number a group

    rows = RowPass(moments, classifier)                  a second pass: NC4, distances to class means; of the rows of
                                                         the moments it also gives what `full` is for, in less time
    PredictionBias(n_classes)                            a pass over probabilities
    knn(train, y, test, n_classes)                       k nearest neighbours
    nearest_frame(means)                                 the simplex that is nearest

Features are tensors on any device or NumPy arrays, memory maps included, and in eval mode. Each measure is a function
in the module of its kind, with its source and what it needs: `variability` (NC1), `vectors` (NC2), `duality` (NC3),
`rows` (NC4), `outliers` (NC5), `pairs`, `classifier`, `frame`. Definitions that differ between sources have names of
their own. Needs torch only.
"""

from .cells import Cells, Centre
from .classifier import Classifier, class_mean_angle, weight_norm
from .frame import Nearest, nearest_frame
from .measures import cautions, class_table, group_table, measure
from .moments import Moments
from .neighbours import Weighting, knn, nearest_rows, vote
from .outliers import outlier_cosine
from .prediction_bias import PredictionBias
from .rows import RowPass

__all__ = [
    "Cells",
    "Centre",
    "Classifier",
    "Moments",
    "Nearest",
    "PredictionBias",
    "RowPass",
    "Weighting",
    "cautions",
    "class_mean_angle",
    "class_table",
    "group_table",
    "knn",
    "measure",
    "nearest_frame",
    "nearest_rows",
    "outlier_cosine",
    "vote",
    "weight_norm",
]
