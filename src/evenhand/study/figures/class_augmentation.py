"""What data augmentation does for each class: Figure 7 of Cui et al. (2024), Classes are not equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evenhand.study.classes import class_accuracy
from evenhand.study.comparison import Entry
from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _classes as c
from ._relations import difference, spearman, told

if TYPE_CHECKING:
    import plotly.graph_objects as go

ON = {"test": "as in the paper by the rows reported", "val": "by validation rows"}


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy of each class minus that of the reference, seed by seed, for every other row of the table.

    Sorted by the reference's accuracy on the rows reported, as in the paper, and on validation rows: of classes sorted
    by the very figures that are subtracted, the hardest gain and the easiest lose by chance alone.
    """
    return c.of_parts(found, _part)


def _part(part: Reproduction) -> c.Record:
    ordered = c.by_accuracy(part)
    base = c.reference(part)
    others = [entry for entry in part.comparison.shown if entry.label != base.label]
    honest = c.by_accuracy(part, "val")
    return ordered.record() | {
        "base": c.accuracies(base, ordered),
        "gain": {entry.label: c.over_seeds(_gains(entry, base), ordered) for entry in others},
        "val": {
            "classes": honest.names,
            "base": c.accuracies(base, honest, "val")["mean"],
            "gain": {entry.label: c.over_seeds(_gains(entry, base), honest) for entry in others},
        },
    }


def _gains(entry: Entry, base: Entry) -> list[c.Floats]:
    """(C,) of each seed that both have; of the means where they have none in common."""
    pairs = [(one, other) for one, other in zip(entry.runs, base.runs, strict=True) if one and other]
    if pairs:
        return [class_accuracy(one) - class_accuracy(other) for one, other in pairs]
    one, other = (np.mean([class_accuracy(run) for run in each.finished], axis=0) for each in (entry, base))
    return [one - other]


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """Panel a: the change of each class; panel b: the mean change of each third."""
    return c.panels(record, _both)


def _both(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import Strip, sorted_curves, third_bars

    series = {label: c.scaled(one["mean"], 100) for label, one in part["gain"].items()}
    trends = {label: c.trend(values) for label, values in series.items()} if len(part["classes"]) > c.SMOOTH else {}
    strip = Strip("change of accuracy, points", series, c.bands(part["gain"], 100), trends, zero=True)
    title = c.title(part, f"change of each class's accuracy against {part['reference']}")
    curves = sorted_curves([strip], part["classes"], part["thirds"], title=title, x_title=c.sorted_by(part))
    names = [name for name, size in part["thirds"] if size]
    means = {label: c.third_means(values, part) for label, values in series.items()}
    thirds = third_bars(
        {label: [mean[name] for name in names] for label, mean in means.items()}, names,
        title=c.title(part, f"mean change of accuracy against {part['reference']}"),
        x_title=f"thirds of the classes, sorted by {part['reference']}", y_title="change of accuracy, points",
    )  # fmt: skip
    return {"a": curves, "b": thirds}


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Changes of thirds, and of each class."""
    return [table for part in record["parts"] for table in (_thirds(part), _each(part))]


def _thirds(part: c.Record) -> Table:
    names = [name for name, size in part["thirds"] if size]
    rows = []
    for label, one in part["gain"].items():
        own, honest = (c.third_means(gain["mean"], part) for gain in (one, part["val"]["gain"][label]))
        rows.append((label, *(_signed(own[name]) for name in names), *(_signed(honest[name]) for name in names)))
    columns = ("method", *names, *(f"{name}, sorted on val" for name in names))
    return Table(c.heading(part, "mean change of thirds, points"), columns, tuple(rows))


def _each(part: c.Record) -> Table:
    columns = {f"{part['reference']}, %": c.shown(part["base"]["mean"], 1, 100)}
    columns |= {label: [_signed(value) for value in one["mean"]] for label, one in part["gain"].items()}
    return c.class_table(part, "change of each class, points", columns)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.2f}"


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether hard classes gain more than easy ones, also when they are sorted by other rows."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    for label, one in part["gain"].items():
        yield _compared(part, label, one["mean"], ON["test"])
        yield _compared(part, label, part["val"]["gain"][label]["mean"], ON["val"])
        relation = spearman(part["val"]["gain"][label]["mean"], part["val"]["base"])
        yield f"{part['label']}, {label}: change on test rows and accuracy on validation rows: {told(relation)}."


def _compared(part: c.Record, label: str, gains: list[float | None], how: str) -> str:
    size = dict(part["thirds"])
    numbers = c.array(gains)
    easy, hard = numbers[: size["Easy"]], numbers[-size["Hard"] :]
    gap = difference(list(hard[np.isfinite(hard)]), list(easy[np.isfinite(easy)]))
    means = f"{100 * np.nanmean(hard):+.2f} points for hard, {100 * np.nanmean(easy):+.2f} for easy classes"
    if gap is None:
        return f"{part['label']}, {label}: {means}, sorted {how}; too few classes to say more."
    word = "gain more" if gap[1] > 0 else "gain less" if gap[2] < 0 else "cannot be told to gain more or less"
    between = f"difference {100 * gap[0]:+.2f} [{100 * gap[1]:+.2f}, {100 * gap[2]:+.2f}]"
    return f"{part['label']}, {label}: hard classes {word} ({means}, sorted {how}; {between})."
