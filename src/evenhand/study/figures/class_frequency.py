"""Long tails: rows, accuracy, classifier weights and prediction bias of each class: Figure 3 of Cui et al. (2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _bias, _relations
from . import _classes as c
from ._relations import spearman, told, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of each row of the table: accuracy and length of the classifier weights of each class, by training rows.

    The reference's prediction bias is that on the test rows of classes with many, medium and few training rows.
    """
    return c.of_parts(found, _part)


def _part(part: Reproduction) -> c.Record:
    count_C = c.train_counts(part)
    ordered = c.by_count(part, count_C)
    shown = part.comparison.shown
    return ordered.record() | {
        "count": [int(count) for count in count_C[ordered.order_C]],
        "accuracy": {entry.label: c.accuracies(entry, ordered) for entry in shown},
        "norm": {entry.label: c.over_seeds([c.norms(run) for run in entry.finished], ordered) for entry in shown},
        "bias": _bias.by_third(c.reference(part), ordered),
    }


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """Panel a: rows and accuracy; b: weight lengths; c: prediction bias on each part of the rows."""
    return c.panels(record, _three)


def _three(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import Strip, sorted_curves

    def curves(strips: list[Strip], text: str) -> go.Figure:
        title = c.title(part, text)
        return sorted_curves(strips, part["classes"], part["thirds"], title=title, x_title=_axis())

    wide = max(part["count"]) > 20 * min(part["count"])
    rows = Strip("training rows", {"training rows": part["count"]}, log=wide)
    accuracy = {label: c.scaled(one["mean"], 100) for label, one in part["accuracy"].items()}
    norm = {label: one["mean"] for label, one in part["norm"].items()}
    first = curves(
        [rows, Strip("accuracy, %", accuracy, c.bands(part["accuracy"], 100))], "training rows and test accuracy"
    )
    second = curves([Strip("length of weights", norm, c.bands(part["norm"]))], "classifier weights of each class")
    third = curves(_bias.strips(part), f"prediction bias of {part['reference']} by the rows' classes")
    return {"a": first, "b": second, "c": third.update_layout(showlegend=False)}


def _axis() -> str:
    return "classes, from most training rows to fewest"


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Every quantity of each class, and the parts of the order."""
    return [table for part in record["parts"] for table in (_thirds(part), _each(part), _bias.table(part))]


def _thirds(part: c.Record) -> Table:
    names = [name for name, size in part["thirds"] if size]
    rows = []
    for label in part["accuracy"]:
        accuracy, norm = (c.third_means(part[key][label]["mean"], part) for key in ("accuracy", "norm"))
        figures = c.shown([accuracy[name] for name in names], 2, 100) + c.shown([norm[name] for name in names], 3)
        rows.append((label, *figures, f"{_variation(part['norm'][label]['mean']):.3f}"))
    columns = ("method", *(f"{n}, %" for n in names), *(f"{n}, weights" for n in names), "variation of weights")
    note = "Variation: standard deviation over mean of the lengths of the classes' weights."
    return Table(c.heading(part, "accuracy and length of weights"), columns, tuple(rows), (note,))


def _variation(values: c.Values) -> float:
    numbers = c.array(values)
    return float(numbers.std() / numbers.mean())


def _each(part: c.Record) -> Table:
    columns = {"training rows": [str(count) for count in part["count"]]}
    columns |= {f"accuracy, {label}, %": c.shown(one["mean"], 1, 100) for label, one in part["accuracy"].items()}
    columns |= {f"weights, {label}": c.shown(one["mean"], 3) for label, one in part["norm"].items()}
    return c.class_table(part, "every class", columns)


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether frequency, weights, accuracy and bias go together, and what rebalancing does."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    base, label = part["reference"], part["label"]
    count, norm, accuracy = part["count"], part["norm"][base]["mean"], part["accuracy"][base]["mean"]
    if max(count) == min(count):
        yield f"{label}: every class has {count[0]} training rows; nothing can be said here of long tails."
    for (name, values), (other, others) in (
        (("class accuracy", accuracy), ("training rows", count)),
        (("length of classifier weights", norm), ("training rows", count)),
        (("length of classifier weights", norm), ("class accuracy", accuracy)),
    ):
        relation = spearman(values, others)
        if relation["rho"] is not None:
            yield f"{label}: that {name} rises with {other} {verdict(relation, 1)} ({told(relation)})."
    for other in part["norm"]:
        if other != base:
            yield _rebalanced(part, other)
    for third, one in part["bias"].items():
        relation = spearman(one["mean"], count)
        if relation["rho"] is not None:
            yield (
                f"{label}: that the model is biased towards frequent classes on rows of “{third}” classes "
                f"{verdict(relation, 1)} (prediction bias and training rows: {told(relation)})."
            )


def _rebalanced(part: c.Record, other: str) -> str:
    before, after = (_variation(part["norm"][label]["mean"]) for label in (part["reference"], other))
    last = [name for name, size in part["thirds"] if size][-1]
    few = [c.third_means(part["accuracy"][label]["mean"], part)[last] or 0.0 for label in (part["reference"], other)]
    change = _relations.difference(
        *([float(value) for value in np.split(c.array(part["accuracy"][label]["mean"]), [-part["thirds"][-1][1]])[1]]
          for label in (other, part["reference"]))
    )  # fmt: skip
    noise = "" if change is None or change[1] > 0 or change[2] < 0 else ", within the noise of so few classes"
    evener = "more uniform" if after < before else "not more uniform"
    return (
        f"{part['label']}: after {other} the lengths of weights are {evener} (variation {before:.3f} before, "
        f"{after:.3f} after), and the accuracy of “{last}” classes goes from {100 * few[0]:.1f} to "
        f"{100 * few[1]:.1f} %{noise}."
    )
