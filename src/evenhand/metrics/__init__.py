"""Audit a classifier: count once, then read every metric, interval and comparison off the counts.

    counts = count(y, prediction, attribute)        one pass over the rows
    evaluate(counts)                                {"worst_group_accuracy": 0.58, ...}
    group_table(counts)                             one row a group, with its size and an interval
    worst_group(counts.correct_G, counts.count_G)   the minimum, with an interval that accounts for the choice
    auc_per_group(score, y, group, n_groups)        ranking and calibration of scores, one pass for all groups
    bootstrap(AUC(score, y), group, n_groups)       an interval for what has no formula
    paired_groups(correct_a, correct_b, group, 8)   two models on the same rows
    detectable_gap(40, 960, 0.9)                    what a group of this size lets one see

A metric of counts is a base rate per cell, reduced over the cells (`METRICS` is the table). Needs NumPy only; SciPy is
imported by exact intervals, tests and comparisons when they are called.
"""

from .bootstrap import bootstrap, bootstrap_counts, per_replicate
from .calibration import (
    Reliability,
    brier,
    brier_per_group,
    calibration_error_per_group,
    calibration_interval,
    log_loss,
    log_loss_per_group,
    reliability_per_group,
)
from .class_thirds import third_accuracy, thirds
from .counts import Counts, count
from .detectable import detectable_gap, rows_needed, size_warning
from .family import METRICS, Metric, OddsReduction, equalized_odds_difference, evaluate
from .intervals import Interval, IntervalMethod, clopper_pearson, wilson, worst_group
from .mcnemar import PairedGroup, mcnemar, newcombe, paired_groups
from .paired import Difference, IntervalFamily, holm, mean_sd, paired_differences, winners
from .ranking import auc, auc_per_group, average_precision, average_precision_per_group, one_vs_rest
from .resampled import BootstrapMethod, Resampled
from .table import GroupRow, group_table
from .weighted import AUC, AveragePrecision, CalibrationGaps, Mean, Statistic, Tally, Together

__all__ = [
    "AUC",
    "METRICS",
    "AveragePrecision",
    "BootstrapMethod",
    "CalibrationGaps",
    "Counts",
    "Difference",
    "GroupRow",
    "Interval",
    "IntervalFamily",
    "IntervalMethod",
    "Mean",
    "Metric",
    "OddsReduction",
    "PairedGroup",
    "Reliability",
    "Resampled",
    "Statistic",
    "Tally",
    "Together",
    "auc",
    "auc_per_group",
    "average_precision",
    "average_precision_per_group",
    "bootstrap",
    "bootstrap_counts",
    "brier",
    "brier_per_group",
    "calibration_error_per_group",
    "calibration_interval",
    "clopper_pearson",
    "count",
    "detectable_gap",
    "equalized_odds_difference",
    "evaluate",
    "group_table",
    "holm",
    "log_loss",
    "log_loss_per_group",
    "mcnemar",
    "mean_sd",
    "newcombe",
    "one_vs_rest",
    "paired_differences",
    "paired_groups",
    "per_replicate",
    "reliability_per_group",
    "rows_needed",
    "size_warning",
    "third_accuracy",
    "thirds",
    "wilson",
    "winners",
    "worst_group",
]
