"""Class fairness: how easy, medium and hard classes fare, thirds by the accuracy of the reference's runs.

Cui et al. (2024), Classes Are Not Equal: An Empirical Study on Image Recognition Fairness, Section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evenhand import metrics
from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.comparison import Comparison, Entry, Figure
from evenhand.study.measures import THIRDS

Floats = NDArray[np.float64]


def with_classes(comparison: Comparison, thirds_on: str = "test") -> Comparison:
    """The comparison with the figures of `THIRDS` in every entry.

    As in the paper, classes are sorted by the reference's accuracy on the very rows that are reported. This favours all
    other methods on hard classes, because some are hard by chance; `thirds_on="val"` sorts by other rows.

    Raises:
        BadInput: fewer than three classes, or a class without rows.
    """
    reference = next(entry for entry in comparison.shown if entry.label == comparison.reference)
    sorted_by = np.mean([class_accuracy(run, thirds_on) for run in reference.finished], axis=0)
    try:
        members = metrics.thirds(sorted_by)
    except BadInput as error:
        raise BadInput(f"easy, medium and hard classes of {comparison.data}: {error}") from error
    return replace(comparison, entries=tuple(_extended(entry, members) for entry in comparison.entries))


def _extended(entry: Entry, members: dict[str, NDArray[np.int64]]) -> Entry:
    found: dict[str, list[float]] = {name: [] for name in THIRDS}
    for run in entry.runs:
        figures = dict.fromkeys(THIRDS, math.nan) if run is None else _figures(class_accuracy(run, "test"), members)
        for name in THIRDS:
            found[name].append(figures[name])
    return replace(entry, extra=found)


def _figures(accuracy_C: Floats, members: dict[str, NDArray[np.int64]]) -> dict[str, float]:
    thirds = metrics.third_accuracy(accuracy_C, members)
    return {
        "easy_accuracy": thirds["easy"],
        "medium_accuracy": thirds["medium"],
        "hard_accuracy": thirds["hard"],
        "best_class_accuracy": float(np.nanmax(accuracy_C)),
    }


def class_accuracy(run: Run, split: str = "test") -> Floats:
    """(C,) accuracy of each class on a split of a finished run; NaN for a class without rows."""
    rows = run.predictions().filter(split=split)
    logits = rows.select([name for name in rows.columns if name.startswith("logit_")]).to_numpy()
    y = rows["y"].to_numpy()
    count_C = np.bincount(y, minlength=logits.shape[1])
    right_C = np.bincount(y[logits.argmax(1) == y], minlength=logits.shape[1])
    with np.errstate(invalid="ignore"):
        accuracy_C: Floats = right_C / count_C
    return accuracy_C


def findings(comparison: Comparison) -> Iterator[str]:
    """Whether gains on hard classes exceed those on easy ones, and what of it is left with thirds from other rows."""
    honest = with_classes(comparison, "val")
    for entry, other in zip(comparison.shown, honest.shown, strict=True):
        if entry.label == comparison.reference:
            continue
        hard, easy = (_gain(comparison, entry.label, name) for name in ("hard_accuracy", "easy_accuracy"))
        hard_val, easy_val = (_gain(honest, other.label, name) for name in ("hard_accuracy", "easy_accuracy"))
        yield (
            f"{entry.label}: {100 * hard:+.2f} points on hard classes, {100 * easy:+.2f} on easy ones; with thirds "
            f"sorted on validation rows instead of the rows reported, {100 * hard_val:+.2f} and {100 * easy_val:+.2f}."
        )


def _gain(comparison: Comparison, label: str, name: str) -> float:
    means = {entry.label: Figure.over(entry.values(name)).mean for entry in comparison.shown}
    return means[label] - means[comparison.reference]
