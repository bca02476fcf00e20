"""An audit as one dictionary: what is printed, written and rendered is read off this."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from evenhand.auditing.figures import reduce
from evenhand.auditing.figures.estimates import Estimate, Flat, Measured
from evenhand.auditing.figures.names import FIGURES
from evenhand.auditing.level import Audited, Level, by_class, level, marginal_axes
from evenhand.metrics.class_thirds import third_accuracy, thirds
from evenhand.metrics.counts import IntArray

Record = dict[str, Any]
MOST_CONFUSED = 20  # classes up to which every group's confusion matrix is given


def summarise(audited: Audited, label: str) -> Record:
    """Every figure of the audit; `label` is the label column, which may be among the group columns."""
    names = audited.cells.names
    crossed = level(audited, tuple(range(len(names))))
    whole = level(audited, ())
    attributes = tuple(index for index, name in enumerate(names) if name != label)
    worst = reduce.extreme(crossed.figures["accuracy"], True, audited.confidence)
    return {
        "overall": {
            **_records(whole, audited)[0],
            **reductions(crossed, audited.confidence),
            **fairness(audited, crossed, attributes),
            **class_reductions(whole, audited.confidence),
        },
        "worst": None if worst.group is None else _worst(crossed, worst),
        "groups": _worst_first(_records(crossed, audited)),
        "marginals": [
            record
            for axes in marginal_axes(len(names))
            for record in _worst_first(_records(level(audited, axes), audited))
        ],
        "by_class": class_records(whole, audited),
    }


def reductions(crossed: Level, confidence: float) -> dict[str, Measured]:
    """Worst, best, gap, ratio and mean over groups of every figure, under the names of the contract."""
    found: dict[str, Measured] = {}
    for name, estimate in crossed.figures.items():
        lowest = FIGURES[name].better >= 0
        found[f"worst_group_{name}"] = reduce.extreme(estimate, lowest, confidence).measured
        found[f"best_group_{name}"] = reduce.extreme(estimate, not lowest, confidence).measured
        found[f"{name}_gap"] = reduce.gap(estimate, confidence)
        found[f"{name}_ratio"] = reduce.ratio_of_extremes(estimate, confidence)
        found[f"group_mean_{name}"] = reduce.mean(estimate, confidence)
    return found


def fairness(audited: Audited, crossed: Level, attributes: tuple[int, ...]) -> dict[str, Measured]:
    """Differences between the groups of all columns but the label: for several classes the largest over classes."""
    if not attributes:
        names = ("demographic_parity", "equal_opportunity", "equalized_odds", "average_odds")
        return {f"{name}_difference": Measured(math.nan) for name in names}
    at = crossed if attributes == crossed.axes else level(audited, attributes)
    rates, chosen, confidence = by_class(at), audited.positive, audited.confidence
    half = (1 + confidence) / 2
    odds = [_gaps(rates[name], half, chosen) for name in ("true_positive_rate", "false_positive_rate")]
    both = [reduce.half_sum(first, second) for first, second in zip(*odds, strict=True)]
    average = reduce.average(rates["true_positive_rate"], rates["false_positive_rate"])
    return {
        "demographic_parity_difference": reduce.gap_of_class(rates["selection_rate"], confidence, chosen),
        "equal_opportunity_difference": reduce.gap_of_class(rates["true_positive_rate"], confidence, chosen),
        "equalized_odds_difference": max(both, key=lambda odd: -1.0 if math.isnan(odd) else float(odd)),
        "average_odds_difference": reduce.gap_of_class(average, confidence, chosen),
    }


def _gaps(estimate: Estimate, confidence: float, chosen: int | None) -> list[Measured]:
    classes = range(len(estimate.value)) if chosen is None else [chosen]
    return [reduce.gap_of_class(estimate, confidence, index) for index in classes]


def class_reductions(whole: Level, confidence: float) -> dict[str, Measured]:
    """The worst class, and the mean accuracies of the hard, medium and easy third of the classes."""
    recall = _recall(whole)
    found = {"worst_class_accuracy": reduce.extreme(recall, True, confidence).measured}
    try:
        means = third_accuracy(recall.value, thirds(recall.value))
    except ValueError:  # fewer than three classes, or one without rows
        return found
    return found | {f"{name}_class_accuracy": Measured(value) for name, value in means.items()}


def class_records(whole: Level, audited: Audited) -> list[Record]:
    """One record a class, worst accuracy (recall) first: rows, figures against the rest, and its third."""
    figures = by_class(whole)
    del figures["accuracy"]
    bounds = {name: estimate.interval(audited.confidence) for name, estimate in figures.items()}
    members = whole.table.count[0].sum(axis=1)
    third_of = _third_of(whole)
    records = []
    for c, value in enumerate(audited.cells.classes[: audited.cells.n_real]):
        measured = {
            name: Measured(estimate.value[c, 0], bounds[name][0][c, 0], bounds[name][1][c, 0])
            for name, estimate in figures.items()
        }
        record = {"class": value, "count": int(members[c]), "accuracy": measured["true_positive_rate"], **measured}
        records.append(record | ({"third": third_of[c]} if third_of else {}))
    return _worst_first(records)


def _third_of(whole: Level) -> dict[int, str]:
    try:
        found = thirds(_recall(whole).value)
    except ValueError:
        return {}
    return {int(c): name for name, members in found.items() for c in members}


def _recall(whole: Level) -> Estimate:
    return Flat(by_class(whole)["true_positive_rate"])


def _records(at: Level, audited: Audited) -> list[Record]:
    """One record a group: who it is, its size, every figure, and its confusion matrix."""
    total, rows = int(at.rows.sum()), at.rows
    values = {name: estimate.value for name, estimate in at.figures.items()}
    bounds = {name: estimate.interval(audited.confidence) for name, estimate in at.figures.items()}
    records: list[Record] = []
    for k, group in enumerate(at.groups):
        record: Record = {"group": dict(group)} if at.axes else {}
        record |= {"count": int(rows[k]), "share": int(rows[k]) / total}
        if at.table.weight is not None:
            record["weight"] = float(at.table.weight[k].sum())
        record |= {name: Measured(values[name][k], bounds[name][0][k], bounds[name][1][k]) for name in values}
        if audited.cells.n_classes <= MOST_CONFUSED:
            record["confusion"] = _nested(at.table.count[k])
        records.append(record)
    return records


def _nested(matrix: IntArray) -> list[list[int]]:
    nested: list[list[int]] = np.asarray(matrix).tolist()
    return nested


def _worst(crossed: Level, worst: reduce.Extreme) -> Record:
    assert worst.group is not None
    return {
        "group": dict(crossed.groups[worst.group]),
        "count": int(crossed.rows[worst.group]),
        "accuracy": worst.measured,
    }


def _worst_first(records: list[Record]) -> list[Record]:
    """By accuracy, those without rows last; equal ones in the order of their values."""
    return sorted(records, key=lambda record: (math.isnan(record["accuracy"]), record["accuracy"]))
