"""What other rules of choosing the epoch would have led to: the same runs, judged at other epochs.

Yang, Zhang, Katabi and Ghassemi (2023), Change is hard, find that most of what group labels give in validation is had
from the worst class, too; here it can be seen for any data. Needs runs with test figures by epoch (`oracle`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand import metrics
from evenhand.errors import BadInput
from evenhand.runs import Run, read_lines
from evenhand.study.comparison import MAIN, Comparison, Figure, summarised
from evenhand.study.tables import Table, figure_text, signed

Floats = NDArray[np.float64]

LABELLED = "worst_group"
WORDS = {
    "worst_group": "worst group",
    "group_mean": "mean over groups",
    "worst_class": "worst class",
    "class_gap": "class gap",
    "average": "average",
    "last": "last epoch",
}


def by_rule(comparison: Comparison, metric: str = MAIN) -> dict[str, dict[str, list[float]]]:
    """The test metric of each entry under each rule, by seed; empty where a run has no test figures by epoch."""
    found: dict[str, dict[str, list[float]]] = {}
    for entry in comparison.shown:
        of_runs = [_of_run(run, metric) for run in entry.finished]
        if all(of_runs):
            found[entry.label] = {rule: [each[rule] for each in of_runs] for rule in WORDS}
    return found


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """`{label: {rule: {"mean", "sd", "values"}}}`."""
    return {
        label: {rule: summarised(values) for rule, values in rules.items()}
        for label, rules in by_rule(comparison).items()
    }


def table(comparison: Comparison) -> Table | None:
    """Worst-group accuracy on test under every rule, and what the worst class costs against the worst group."""
    found = by_rule(comparison)
    if not found:
        return None
    rows = []
    for label, rules in found.items():
        gap = float(np.mean(rules["worst_class"]) - np.mean(rules[LABELLED]))
        rows.append((label, *(figure_text(Figure.over(rules[rule])) for rule in WORDS), signed(gap)))
    heads = ("method", *WORDS.values(), "worst class − worst group")
    note = (
        "Test accuracy of the worst group at the epoch that each rule chooses on validation. Only the first two rules "
        "need group labels there. class gap: the smallest difference between the accuracies of two classes."
    )
    return Table("What selection leads to, %", heads, tuple(rows), (note,))


def _of_run(run: Run, metric: str) -> dict[str, float]:
    tested = read_lines(run.folder / "test_by_epoch.jsonl")
    if not tested:
        return {}
    stage = tested[-1]["stage"]
    counts = [metrics.Counts.from_list(line["counts"]) for line in tested if line["stage"] == stage]
    validated = [record["val"] for record in run.history if record["stage"] == stage]
    if len(counts) != len(validated):
        raise BadInput(
            f"{run.folder}/test_by_epoch.jsonl is damaged: it holds {len(counts)} epochs of stage {stage}, "
            f"history.jsonl {len(validated)}"
        )
    n_classes = counts[0].n_classes
    scores = {rule: [score(val, n_classes) for val in validated] for rule, score in SCORES.items()}
    chosen = {rule: int(np.argmax(values)) for rule, values in scores.items()} | {"last": len(counts) - 1}
    return {rule: metrics.evaluate(counts[chosen[rule]], [metric])[metric] for rule in WORDS}


def _groups(val: dict[str, list[Any]]) -> tuple[Floats, Floats]:
    """Accuracy (0 where there are no rows) and rows of each group."""
    count_G = np.array(val["count"], dtype=np.float64)
    return np.array([0.0 if value is None else value for value in val["accuracy"]]), count_G


def _classes(val: dict[str, list[Any]], n_classes: int) -> Floats:
    """Accuracy of each class that has rows."""
    accuracy_G, count_G = _groups(val)
    count_C = count_G.reshape(n_classes, -1).sum(1)
    right_C = (accuracy_G * count_G).reshape(n_classes, -1).sum(1)
    accuracy_C: Floats = right_C[count_C > 0] / count_C[count_C > 0]
    return accuracy_C


def _worst_group(val: dict[str, list[Any]], n_classes: int) -> float:
    accuracy_G, count_G = _groups(val)
    return float(accuracy_G[count_G > 0].min())


def _group_mean(val: dict[str, list[Any]], n_classes: int) -> float:
    accuracy_G, count_G = _groups(val)
    return float(accuracy_G[count_G > 0].mean())


def _average(val: dict[str, list[Any]], n_classes: int) -> float:
    accuracy_G, count_G = _groups(val)
    return float((accuracy_G * count_G).sum() / count_G.sum())


def _worst_class(val: dict[str, list[Any]], n_classes: int) -> float:
    return float(_classes(val, n_classes).min())


def _class_gap(val: dict[str, list[Any]], n_classes: int) -> float:
    return float(-np.ptp(_classes(val, n_classes)))


SCORES: dict[str, Callable[[dict[str, list[Any]], int], float]] = {
    "worst_group": _worst_group,
    "group_mean": _group_mean,
    "worst_class": _worst_class,
    "class_gap": _class_gap,
    "average": _average,
}
