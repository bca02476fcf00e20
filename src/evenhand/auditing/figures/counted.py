"""The figures that counts alone determine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evenhand.auditing.figures.estimates import Estimate, Mean, Proportion, Take, Transformed, complement, f1_of_jaccard
from evenhand.metrics.counts import FloatArray, IntArray
from evenhand.metrics.intervals import IntervalMethod

ONE_AGAINST_REST = ("true_positive_rate", "false_positive_rate", "precision", "f1", "selection_rate")


@dataclass(frozen=True)
class Table:
    """Counts of K cells, with what intervals need where rows have weights or come in clusters.

    Attributes:
        count: (K, C, C) rows per cell, label and prediction.
        weight, weight2: sums of weights and of their squares, or None.
        effective: rows that say as much, by figure, each [K] or [C, K]; None without clusters.
        method: of the intervals.
        n_real: figures are about the first so many classes; None: about all of them.
    """

    count: IntArray
    weight: FloatArray | None = None
    weight2: FloatArray | None = None
    effective: Mapping[str, FloatArray] | None = None
    method: IntervalMethod = "wilson"
    n_real: int | None = None

    @property
    def rows(self) -> IntArray:
        """Rows of each cell, unweighted."""
        rows: IntArray = self.count.sum(axis=(1, 2))
        return rows

    def proportions(self) -> dict[str, Proportion]:
        """Accuracy [K], and every one-against-rest proportion [C, K]."""
        parts = fractions(self.count if self.weight is None else self.weight)
        squares = None if self.weight2 is None else fractions(self.weight2)
        found = {}
        for name, (part, whole) in parts.items():
            effective = None
            if self.effective is not None:
                effective = self.effective[name]
            elif squares is not None:
                square = squares[name][1]
                effective = np.divide(whole**2, square, out=np.zeros_like(whole), where=square > 0)
            found[name] = Proportion(part, whole, self.method, effective)
        return found


def fractions(counts: FloatArray | IntArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Numerator and denominator of each proportion, from (K, C, C) counts or sums of weights."""
    hits_CK = np.diagonal(counts, axis1=1, axis2=2).T
    members_CK, selected_CK = counts.sum(axis=2).T, counts.sum(axis=1).T
    rows_K = counts.sum(axis=(1, 2))
    rest_CK = np.maximum(rows_K - members_CK, 0)  # sums of weights may differ in the last bit
    wrong_CK = np.clip(selected_CK - hits_CK, 0, rest_CK)
    return {
        "accuracy": (hits_CK.sum(axis=0), rows_K),
        "true_positive_rate": (hits_CK, members_CK),
        "false_positive_rate": (wrong_CK, rest_CK),
        "precision": (hits_CK, selected_CK),
        "jaccard": (hits_CK, members_CK + wrong_CK),
        "selection_rate": (selected_CK, np.broadcast_to(rows_K, selected_CK.shape)),
    }


def from_counts(table: Table, positive: int | None) -> dict[str, Estimate]:
    """Every figure [K] that counts determine, in the order of `FIGURES`.

    `positive`: the class that TPR, FPR, precision, F1 and selection rate are about. None: their unweighted means over
    the classes where they are defined (macro average); the selection rate, which would be 1/C, is left out.
    """
    by_class = class_figures(table)
    found: dict[str, Estimate] = {"accuracy": by_class["accuracy"]}
    found["error"] = Transformed(by_class["accuracy"], complement)
    for name in ONE_AGAINST_REST:
        if positive is not None:
            found[name] = Take(by_class[name], positive)
        elif name != "selection_rate":
            # Labels (predictions) part the rows, so recall (precision) of different classes are independent.
            found[name] = Mean(by_class[name], independent=name in ("true_positive_rate", "precision"))
    return found


def class_figures(table: Table) -> dict[str, Estimate]:
    """Accuracy [K], and the figures of every class against the rest [C, K]."""
    proportions = table.proportions()
    accuracy, jaccard = proportions.pop("accuracy"), proportions.pop("jaccard")
    by_class: dict[str, Estimate] = {**proportions, "f1": Transformed(jaccard, f1_of_jaccard)}
    if table.n_real is not None and table.n_real < table.count.shape[-1]:
        by_class = {name: Take(estimate, slice(table.n_real)) for name, estimate in by_class.items()}
    return {"accuracy": accuracy, **by_class}
