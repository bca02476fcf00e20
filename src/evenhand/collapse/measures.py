"""Every measure by its name: scalars, and tables per class and per group."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from . import duality, frame, outliers, pairs, variability, vectors
from .cells import Centre, nan_mean
from .classifier import Classifier, class_mean_angle, weight_norm
from .moments import Moments
from .prediction_bias import PredictionBias
from .rows import RowPass

Scalars = dict[str, float]
Table = dict[str, list[float]]

MOST_PAIRED = 4096  # with more groups, what compares every two of them is left out
_CENTRES: dict[str, Centre] = {"": "classes", "_rows": "rows"}


def measure(
    moments: Moments,
    classifier: Classifier | None = None,
    *,
    rows: RowPass | None = None,
    bias: PredictionBias | None = None,
    outside: Moments | None = None,
    count_G: Tensor | None = None,
) -> Scalars:
    """All scalars that what is given allows, by name; NaN where one is undefined.

    `moments` alone: `nc1_…` (those of Papyan only if it is `full`, or with `rows` that are of the same rows),
    `nc2_…_means`, `d_cls`, `d_maj`, `d_min`. With a `classifier`: `nc2_…_weights`, `nc3_…`, `w_sim`. With `rows`:
    `nc1_distance…`, `nc4_…`. With `bias`: `bias_gradient`. With `outside`, the moments of outliers: `nc5_cosine`.
    `count_G` are rows of each group in training, by which majority and minority are told. What compares every two
    groups is left out above `MOST_PAIRED`.

    Names that end in `_rows` have the mean of all rows for centre, all others that have one the mean of class means;
    `nc1_papyan_sum` is not divided by C; `nc2_equinorm_population` divides by K in the standard deviation.

    Raises:
        BadInput: what is given does not fit together.
    """
    found = _of_moments(moments, count_G, rows)
    if classifier is not None:
        found |= _of_classifier(moments, classifier)
    if rows is not None:
        found |= _of_rows(rows)
    if bias is not None:
        found["bias_gradient"] = float(bias.bias_gradient_C().abs().sum() / bias.count_G.sum())
    if outside is not None:
        found["nc5_cosine"] = nan_mean(outliers.outlier_cosine(moments, outside))
    return found


def _of_moments(moments: Moments, count_G: Tensor | None, rows: RowPass | None) -> Scalars:
    classes, groups = moments.classes(), moments.groups()
    means_CD = classes.centred_KD()
    found: Scalars = {}
    along = None if moments.full or rows is None or not rows.is_of(moments) else rows
    if moments.full or along is not None:
        C = int(classes.present_K.sum())
        for name, centre in _CENTRES.items():
            total = variability.papyan(moments, rows=along, centre=centre, per_class=False)
            found[f"nc1_papyan_sum{name}"] = total
            found[f"nc1_papyan{name}"] = total / max(C, 1)
    if moments.n_groups <= MOST_PAIRED:
        found["nc1_cdnv_groups"] = variability.cdnv(groups)
        found |= _geometry(groups.centred_KD(), "group_means")
    return found | {
        "nc1_quotient": variability.quotient(moments),
        "nc1_quotient_rows": variability.quotient(moments, centre="rows"),
        "nc1_cdnv": variability.cdnv(classes),
        "nc1_group_variance": nan_mean(variability.variance(groups)),
        "nc1_squared_distance_sum": float(variability.squared_distance(moments).nansum()),
        **_geometry(means_CD, "means"),
        **_geometry(classes.centred_KD("rows"), "means_rows"),
        "nc2_frame_distance_means": frame.nearest_frame(means_CD).distance,
        "d_cls": pairs.class_cosine(moments),
        "d_maj": pairs.majority_cosine(moments, count_G),
        "d_min": pairs.minority_cosine(moments, count_G),
    }


def _geometry(vectors_KD: Tensor, of: str) -> Scalars:
    plain, logarithmic = vectors.distances(vectors_KD), vectors.log_inverse_distances(vectors_KD)
    return {
        f"nc2_equinorm_{of}": vectors.equinorm(vectors_KD),
        f"nc2_equinorm_population_{of}": vectors.equinorm(vectors_KD, unbiased=False),
        f"nc2_equiangularity_{of}": vectors.equiangularity(vectors_KD),
        f"nc2_structure_{of}": vectors.structure_error(vectors_KD),
        f"nc2_distance_mean_{of}": plain.mean,
        f"nc2_distance_variance_{of}": plain.variance,
        f"nc2_log_distance_mean_{of}": logarithmic.mean,
        f"nc2_log_distance_variance_{of}": logarithmic.variance,
    }


def _of_classifier(moments: Moments, classifier: Classifier) -> Scalars:
    found = _geometry(classifier.weight_CD, "weights")
    found["nc2_frame_distance_weights"] = frame.nearest_frame(classifier.weight_CD).distance
    both: dict[str, Callable[..., float]] = {
        "nc3_distance": duality.distance,
        "nc3_product": duality.product_error,
        "nc3_logit_variance": duality.logit_variance,
    }
    for name, function in both.items():
        found[name] = function(moments, classifier)
        found[f"{name}_rows"] = function(moments, classifier, centre="rows")
    found["nc3_bias_relation"] = duality.bias_relation(moments, classifier, centre="classes")
    found["nc3_bias_relation_rows"] = duality.bias_relation(moments, classifier)
    found["nc3_cosine"] = nan_mean(duality.cosine(moments, classifier))
    found["w_sim"] = pairs.weight_cosine(classifier)
    return found


def _of_rows(rows: RowPass) -> Scalars:
    return {
        "nc1_distance": float(rows.distance()),
        "nc1_distance_sum": float(rows.distance("attribute").nansum()),
        "nc4_mismatch": float(rows.mismatch()),
        "nc4_agreement_without_bias": float(rows.agreement_without_bias()),
        "accuracy": float(rows.accuracy()),
        "nearest_accuracy": float(rows.nearest_accuracy()),
        "frame_accuracy": float(rows.frame_accuracy()),
        "frame_agreement": float(rows.frame_agreement()),
    }


def class_table(
    moments: Moments,
    classifier: Classifier | None = None,
    *,
    rows: RowPass | None = None,
    bias: PredictionBias | None = None,
    outside: Moments | None = None,
) -> Table:
    """Columns of C numbers, as `measure`; NaN for a class without rows."""
    classes = moments.classes()
    columns = {
        "count": classes.count_K,
        "variance": variability.variance(classes),
        "variance_norm": variability.variance_norm(classes),
        "feature_norm": classes.norm_K,
        "feature_norm_sd": variability.norm_spread(classes),
        "mean_norm": classes.centred_KD().norm(dim=1),
        "cdnv": variability.cdnv_pairs(classes).nanmean(1),
    }
    if classifier is not None:
        columns |= {
            "weight_norm": weight_norm(classifier),
            "class_mean_angle": class_mean_angle(classifier),
            "bias": classifier.bias_C,
            "weight_cosine": duality.cosine(moments, classifier),
        }
    if bias is not None:
        columns |= {
            "own_mass": bias.own_C(),
            "others_mass": bias.others_C(),
            "effective_frequency": bias.effective_frequency_C(),
            "bias_gradient": bias.bias_gradient_C(),
        }
    if outside is not None:
        columns["outlier_cosine"] = outliers.outlier_cosine(moments, outside)
    return _lists(columns | _row_columns(rows, "class"))


def group_table(moments: Moments, classifier: Classifier | None = None, *, rows: RowPass | None = None) -> Table:
    """Columns of G numbers in the order of `y * A + a`, as `measure`; NaN for a group without rows."""
    groups = moments.groups()
    columns = {
        "count": groups.count_K,
        "variance": variability.variance(groups),
        "variance_unbiased": variability.variance(groups, unbiased=True),
        "variance_share": variability.variance_share(moments, unbiased=True),
        "variance_norm": variability.variance_norm(groups),
        "feature_norm": groups.norm_K,
        "feature_norm_sd": variability.norm_spread(groups),
    }
    if moments.n_groups <= MOST_PAIRED:
        columns["cdnv"] = variability.cdnv_pairs(groups).nanmean(1)
    if classifier is not None:
        columns["weight_cosine"] = duality.weight_cosine(moments, classifier)
    return _lists(columns | _row_columns(rows, "group"))


def _row_columns(rows: RowPass | None, per: str) -> dict[str, Tensor]:
    if rows is None:
        return {}
    return {
        "distance": rows.distance(per),
        "mismatch": rows.mismatch(per),
        "agreement_without_bias": rows.agreement_without_bias(per),
        "accuracy": rows.accuracy(per),
        "nearest_accuracy": rows.nearest_accuracy(per),
        "frame_accuracy": rows.frame_accuracy(per),
        "frame_agreement": rows.frame_agreement(per),
    }


def _lists(columns: dict[str, Tensor]) -> Table:
    return {name: values_K.tolist() for name, values_K in columns.items()}


def cautions(moments: Moments) -> list[str]:
    """What keeps measures from saying what they seem to say, a sentence each."""
    classes, groups, found = moments.classes(), moments.groups(), []
    C = int(classes.present_K.sum())
    if C == 2:
        found.append(
            "two centred class means are always opposite and equally long: nc2_equinorm_means, "
            "nc2_equiangularity_means and nc2_structure_means are 0 whatever the features are"
        )
    if moments.n_features < C - 1:
        found.append(f"{C} classes have no simplex in {moments.n_features} dimensions: nc2 and nc3 cannot reach 0")
    if absent := int((~groups.present_K).sum()):
        found.append(f"{absent} of {moments.n_groups} groups have no rows; what needs them is NaN or leaves them out")
    if single := int((groups.count_K == 1).sum()):
        found.append(f"{single} of {moments.n_groups} groups have a single row, whose variance is 0")
    return found
