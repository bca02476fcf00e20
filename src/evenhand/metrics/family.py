"""The family of metrics as a table: base rate × reduction over its cells."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from evenhand.errors import BadInput, unknown

from .counts import Counts, FloatArray, IntArray
from .rates import (
    Base,
    Rates,
    average_odds,
    class_accuracy,
    false_positive_rate,
    group_accuracy,
    selection_rate,
    true_positive_rate,
)
from .reductions import Reduction, maximum, mean, minimum, spread, weighted_mean

OddsReduction = Literal["mean", "sum", "max"]

_COMBINE: dict[str, Callable[..., Any]] = {"mean": np.mean, "sum": np.sum, "max": np.max}


@dataclass(frozen=True)
class Metric:
    """One number about a classifier: `over(base(counts))`, in [0, 1].

    Several bases are reduced one by one and then combined; NaN if any of them is. Bases that look at one class against
    the rest give a number for each class: two classes report the positive one, more report the maximum over classes
    (as the MultiNLI code of Lu et al. 2024 does). Undefined cells are left out; with none (for a difference: fewer
    than two) NaN.
    """

    description: str
    bases: tuple[Base, ...]
    over: Reduction
    higher_is_better: bool
    source: str
    combine: Callable[..., Any] = np.mean
    needs_train_counts: bool = False  # weighs groups by their rows in training instead of in the counted split

    def __call__(self, counts: Counts, positive: int = 1, train_count_G: ArrayLike | None = None) -> float:
        """The value for `counts`; `positive` in 0..C-1 matters with two classes only; `train_count_G` [G] if needed.

        Raises:
            BadInput: `positive` out of range, or training counts are needed and missing or of the wrong shape.
        """
        if not 0 <= positive < counts.n_classes:
            raise BadInput(f"positive must be a class in 0..{counts.n_classes - 1}, got {positive}")
        rates = [base(counts) for base in self.bases]
        if self.needs_train_counts:
            weight_G = _train_weights(train_count_G, counts)
            rates = [Rates(value, weight_G) for value, _ in rates]
        value = self.combine([self.over(rate) for rate in rates], axis=0)
        return _one_against_rest(np.asarray(value), positive)


def _one_against_rest(value: FloatArray, positive: int) -> float:
    if value.ndim == 0:
        return float(value)
    return float(value[positive] if len(value) == 2 else np.fmax.reduce(value))


def _train_weights(train_count_G: ArrayLike | None, counts: Counts) -> IntArray:
    G = counts.n_classes * counts.n_attributes
    if train_count_G is None:
        raise BadInput("train_weighted_accuracy needs train_count_G, the rows of each group in training")
    weight_G = np.asarray(train_count_G)
    if weight_G.shape != (G,) or weight_G.dtype.kind not in "iu":
        raise BadInput(f"train_count_G must be {G} whole numbers, got {weight_G.dtype} {list(weight_G.shape)}")
    if weight_G.min() < 0:
        raise BadInput(f"train_count_G must be ≥ 0, got {weight_G.min()} in group {weight_G.argmin()}")
    return weight_G.astype(np.int64)


_NC_DEBIAS = "Lu, Chai, Wang (2024), Neural Collapse Inspired Debiased Representation Learning for Min-max Fairness"
_GROUP_DRO = "Sagawa et al. (2020), https://arxiv.org/abs/1911.08731"
_CLUSTERFIX = "Capitani et al. (2024), ClusterFix"
_DWORK = "Dwork et al. (2012), https://arxiv.org/abs/1104.3913"
_HARDT = "Hardt, Price, Srebro (2016), https://arxiv.org/abs/1610.02413"
_AIF360 = "Bellamy et al. (2018), https://arxiv.org/abs/1810.01943"
_CLASSES = "Cui et al. (2024), Classes Are Not Equal: An Empirical Study on Image Recognition Fairness"

METRICS: dict[str, Metric] = {
    "worst_group_accuracy": Metric("accuracy of the worst group", (group_accuracy,), minimum, True, _GROUP_DRO),
    "best_group_accuracy": Metric("accuracy of the best group", (group_accuracy,), maximum, True, _NC_DEBIAS),
    "accuracy_gap": Metric("best minus worst group accuracy", (group_accuracy,), spread, False, _NC_DEBIAS),
    "accuracy": Metric("share of correct rows", (group_accuracy,), weighted_mean, True, "textbook"),
    "group_mean_accuracy": Metric("mean over groups of their accuracy", (group_accuracy,), mean, True, _CLUSTERFIX),
    "worst_class_accuracy": Metric("accuracy of the worst class", (class_accuracy,), minimum, True, _CLASSES),
    "demographic_parity_difference": Metric(
        "largest difference between attribute values in P(prediction = positive)",
        (selection_rate,),
        spread,
        False,
        _DWORK,
    ),
    "equal_opportunity_difference": Metric(
        "largest difference between attribute values in true positive rate",
        (true_positive_rate,),
        spread,
        False,
        _HARDT,
    ),
    "equalized_odds_difference": Metric(
        "half the sum of the differences in true and in false positive rate",
        (true_positive_rate, false_positive_rate),
        spread,
        False,
        _HARDT + "; halved as in the code of Lu et al. (2024)",
    ),
    "average_odds_difference": Metric(
        "difference in the average of true and false positive rate; opposite signs cancel",
        (average_odds,),
        spread,
        False,
        _AIF360 + "; absolute value",
    ),
    "train_weighted_accuracy": Metric(
        "mean of group accuracies weighted by training group sizes",
        (group_accuracy,),
        weighted_mean,
        True,
        _GROUP_DRO,
        needs_train_counts=True,
    ),
}
"""Name → metric.

Where other sources mean something else by the same name:

- `equalized_odds_difference` is ½(ΔTPR + ΔFPR), what Lu et al. (2024) report. Fairlearn's default is the larger of the
  two and the Fair Fairness Benchmark's the sum: see `equalized_odds_difference(counts, reduction)`.
- `average_odds_difference` is, for two attribute values, the absolute value of AIF360's signed ½[(FPR_0 − FPR_1) +
  (TPR_0 − TPR_1)]; for more, max − min of ½(TPR_a + FPR_a). It is never above `equalized_odds_difference`, and 0 where
  errors in one direction outweigh those in the other.
- `train_weighted_accuracy` (the average accuracy of group_DRO) leaves out groups that are empty in the counted split
  and rescales the other weights; group_DRO's code lets them count as accuracy 0.
- Differences are max − min over attribute values, as in Fairlearn. With one attribute value they are NaN, not 0.
"""


def evaluate(
    counts: Counts,
    names: Iterable[str] | None = None,
    train_count_G: ArrayLike | None = None,
    positive: int = 1,
) -> dict[str, float]:
    """Metrics of a classifier by name, each in [0, 1] or NaN where undefined.

    `names` default to all that can be computed: `train_weighted_accuracy` only with `train_count_G` [G]. `positive` is
    the class that `equal_opportunity_difference` looks at when there are two; the other metrics do not depend on it.

    Raises:
        BadInput: an unknown name, or arguments that `Metric` refuses.
    """
    if names is None:
        names = [name for name, metric in METRICS.items() if train_count_G is not None or not metric.needs_train_counts]
    return {name: _metric(name)(counts, positive, train_count_G) for name in names}


def equalized_odds_difference(counts: Counts, reduction: OddsReduction = "mean", positive: int = 1) -> float:
    """Equalized odds difference (Hardt, Price, Srebro 2016) in each of its three published readings.

    With ΔTPR, ΔFPR = max − min over attribute values: "mean" ½(ΔTPR + ΔFPR), in [0, 1] (Lu et al. 2024); "sum" ΔTPR +
    ΔFPR, in [0, 2] (Fair Fairness Benchmark); "max" the larger (Fairlearn). NaN where either is undefined.

    Raises:
        BadInput: another reduction, or `positive` out of range.
    """
    if reduction not in _COMBINE:
        raise BadInput(f"reduction must be one of {', '.join(_COMBINE)}, got {reduction!r}")
    return replace(METRICS["equalized_odds_difference"], combine=_COMBINE[reduction])(counts, positive)


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
