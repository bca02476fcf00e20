"""Every figure of an audit by name: its title, and whether more of it is better."""

from __future__ import annotations

from typing import NamedTuple


class About(NamedTuple):
    """What a figure is: its short title, and whether more is better (1), worse (-1) or neither (0)."""

    title: str
    better: int
    explained: str


FIGURES: dict[str, About] = {
    "accuracy": About("accuracy", 1, "share of correct predictions"),
    "error": About("error", -1, "share of wrong predictions"),
    "true_positive_rate": About("TPR", 1, "share of positives that are predicted positive (recall)"),
    "false_positive_rate": About("FPR", -1, "share of negatives that are predicted positive"),
    "precision": About("precision", 1, "share of predicted positives that are positive"),
    "f1": About("F1", 1, "harmonic mean of precision and recall"),
    "selection_rate": About("selected", 0, "share of rows predicted positive"),
    "auc": About("AUC", 1, "chance that a positive scores above a negative"),
    "average_precision": About("AP", 1, "precision averaged over recall"),
    "calibration_error": About("ECE", -1, "mean distance of confidence and accuracy over bins"),
    "brier": About("Brier", -1, "mean squared distance of probabilities and truth"),
    "log_loss": About("log-loss", -1, "mean negative log-probability of the truth, in nats"),
}
