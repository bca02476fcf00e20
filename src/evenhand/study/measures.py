"""What tables can show of a run: every metric of counts, the area under the ROC curve, and how long training took."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand import metrics

SHORT = {
    "worst_group_accuracy": "WGA",
    "best_group_accuracy": "BGA",
    "accuracy_gap": "ΔAcc",
    "accuracy": "ACC",
    "group_mean_accuracy": "Mean",
    "worst_class_accuracy": "WCA",
    "demographic_parity_difference": "DP",
    "equal_opportunity_difference": "EOp",
    "equalized_odds_difference": "EOd",
    "average_odds_difference": "AOd",
    "train_weighted_accuracy": "TWA",
}


@dataclass(frozen=True)
class Measure:
    """A figure of a run.

    Attributes:
        short: its name in the head of a column.
        scale: shares in [0, 1] are shown times 100, other quantities as they are.
        unit: of what is shown.
    """

    short: str
    description: str
    higher_is_better: bool
    scale: float = 100.0
    unit: str = "%"

    @property
    def header(self) -> str:
        """`WGA ↑`."""
        return f"{self.short} {'↑' if self.higher_is_better else '↓'}"


THIRDS = {
    "easy_accuracy": Measure("Easy", "mean accuracy of the third of the classes that the reference is best at", True),
    "medium_accuracy": Measure("Medium", "mean accuracy of the middle third of the classes", True),
    "hard_accuracy": Measure("Hard", "mean accuracy of the third of the classes that the reference is worst at", True),
    "best_class_accuracy": Measure("Best", "accuracy of the best class", True),
}
MEASURES = {
    **{
        name: Measure(SHORT[name], metric.description, metric.higher_is_better)
        for name, metric in metrics.METRICS.items()
        if name in SHORT
    },
    "roc_auc": Measure("AUC", "area under the ROC curve of the logits; mean over classes against the rest", True),
    **THIRDS,
    "training_seconds": Measure("Time", "time of all epochs, their validation included", False, 1.0, "s"),
}
