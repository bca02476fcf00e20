"""Prediction bias and accuracy of classes: Figure 4 of Cui et al. (2024), Classes are not equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _bias
from . import _classes as c
from ._relations import spearman, told, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of each row of the table: accuracy and prediction bias of each class on test rows.

    Settings: `biased`, the label of the row whose bias is shown on easy, medium and hard rows (default: the reference);
    `tailed`, labels of the parts whose classes are sorted by their training rows instead of by accuracy.
    """
    tailed = settings.get("tailed", ())
    return c.of_parts(found, lambda part: _part(part, settings.get("biased", ""), by_count=c.label(part) in tailed))


def _part(part: Reproduction, biased: str, *, by_count: bool) -> c.Record:
    ordered = c.by_count(part, c.train_counts(part)) if by_count else c.by_accuracy(part)
    shown = {entry.label: entry for entry in part.comparison.shown}
    chosen = shown.get(biased, c.reference(part))
    return ordered.record() | {
        "tailed": by_count,
        "biased": chosen.label,
        "accuracy": {label: c.accuracies(entry, ordered) for label, entry in shown.items()},
        "others": {
            label: c.over_seeds([_bias.on_all(run) for run in entry.finished], ordered)
            for label, entry in shown.items()
        },
        "bias": _bias.by_third(chosen, ordered),
    }


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """Panel a: accuracy against bias; panel b: bias on the rows of each part of the order."""
    return c.panels(record, _both)


def _both(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import class_scatter, sorted_curves

    points = {
        c.display(part, label): (c.scaled(part["others"][label]["mean"], 100), c.scaled(one["mean"], 100))
        for label, one in part["accuracy"].items()
    }
    scatter = class_scatter(
        points, part["classes"], title=c.title(part, "accuracy and prediction bias of each class"),
        x_title="prediction bias: wrongly given probability, % of the rows", y_title="accuracy, %",
    )  # fmt: skip
    title = c.title(part, f"prediction bias of {c.display(part, part['biased'])} by the rows' classes")
    axis = "classes, from most training rows to fewest" if part["tailed"] else c.sorted_by(part)
    curves = sorted_curves(_bias.strips(part), part["classes"], part["thirds"], title=title, x_title=axis)
    return {"a": scatter, "b": curves.update_layout(showlegend=False)}


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Accuracy and bias of each class, and the bias by the rows' classes."""
    return [table for part in record["parts"] for table in (_each(part), _bias.table(part))]


def _each(part: c.Record) -> Table:
    columns: dict[str, list[str]] = {}
    for label, one in part["accuracy"].items():
        columns[f"accuracy, {label}"] = c.shown(one["mean"], 1, 100)
        columns[f"bias, {label}"] = c.shown(part["others"][label]["mean"], 2, 100)
    return c.class_table(part, "accuracy and prediction bias of each class, %", columns)


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether the model is biased towards hard classes, and on which rows."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    sign = 1 if part["tailed"] else -1
    towards = "frequent classes, which are the accurate ones" if part["tailed"] else "classes that are hard"
    for label, one in part["accuracy"].items():
        relation = spearman(part["others"][label]["mean"], one["mean"])
        yield (
            f"{part['label']}: that {label} is biased towards {towards} {verdict(relation, sign)} "
            f"(prediction bias and accuracy: {told(relation)})."
        )
    for third, bias in part["bias"].items():
        means = c.third_means(bias["mean"], part)
        most = max(means, key=lambda name: means[name] or 0.0)
        shares = ", ".join(f"{name.lower()} {100 * (value or 0):.2f} %" for name, value in means.items())
        yield (
            f"{part['label']}: on rows of {third.lower()} classes {part['biased']} is biased most towards "
            f"{most.lower()} classes (wrongly given probability of a class, on average: {shares})."
        )
