"""Accuracy of every class for several networks: Figure 1 of Cui et al. (2024), Classes are not equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evenhand.study.reproduction import Reproduction, StudyReproduction
from evenhand.study.tables import Table

from . import _classes as c
from ._relations import LEVEL, spearman, told, unequal, verdict

if TYPE_CHECKING:
    import plotly.graph_objects as go


def measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy of each class and row of the table, sorted by the reference.

    Settings: `sorted_on`, the split by whose rows the classes are sorted, "test" as in the paper or "val".
    """
    return c.of_parts(found, lambda part: _part(part, settings.get("sorted_on", "test")))


def _part(part: Reproduction, rows: str) -> c.Record:
    ordered = c.by_accuracy(part, rows)
    return ordered.record() | {
        "count": c.rows_per_class(part, ordered),
        "series": {entry.label: c.accuracies(entry, ordered) for entry in part.comparison.shown},
        "val": c.accuracies(c.reference(part), ordered, "val")["mean"],
    }


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """The curves of each part."""
    return c.panels(record, _curves)


def _curves(part: c.Record) -> dict[str, go.Figure]:
    from evenhand.plots.classes import Strip, sorted_curves

    named = c.displayed(part, part["series"])
    series = {name: c.scaled(one["mean"], 100) for name, one in named.items()}
    trends = {name: c.trend(values) for name, values in series.items()} if len(part["classes"]) > c.SMOOTH else {}
    strip = Strip("accuracy, %", series, c.bands(named, 100), trends)
    title = c.title(part, "accuracy of each class on test rows")
    return {"": sorted_curves([strip], part["classes"], part["thirds"], title=title, x_title=c.sorted_by(part))}


def tables(record: Mapping[str, Any]) -> list[Table]:
    """Thirds and extremes of each row, and the accuracy of each class."""
    return [table for part in record["parts"] for table in (_thirds(part), _each(part))]


def _thirds(part: c.Record) -> Table:
    names = [name for name, size in part["thirds"] if size]
    rows = []
    for label, one in part["series"].items():
        means, defined = c.third_means(one["mean"], part), [value for value in one["mean"] if value is not None]
        figures = [*(means[name] for name in names), max(defined), min(defined), max(defined) - min(defined)]
        rows.append((label, *c.shown(figures, 2, 100)))
    columns = ("method", *names, "best class", "worst class", "spread")
    return Table(c.heading(part, "classes in thirds, %"), columns, tuple(rows))


def _each(part: c.Record) -> Table:
    columns = {label: c.shown(one["mean"], 1, 100) for label, one in part["series"].items()}
    return c.class_table(part, "accuracy of each class, %", columns | {"test rows": [str(n) for n in part["count"]]})


def findings(record: Mapping[str, Any]) -> list[str]:
    """Whether classes are unequal with every network, by more than the rows drawn, and in the same order."""
    return [line for part in record["parts"] for line in _said(part)]


def _said(part: c.Record) -> Iterator[str]:
    for label, one in part["series"].items():
        pairs = [(value, name) for value, name in zip(one["mean"], part["classes"], strict=True) if value is not None]
        (low, worst), (high, best) = min(pairs), max(pairs)
        p = unequal(one["mean"], part["count"])
        chance = (
            "" if p is None
            else ", more than the draw of the test rows explains" if p <= LEVEL
            else ", which the draw of the test rows could explain"
        )  # fmt: skip
        yield (
            f"{part['label']}, {label}: {100 * high:.1f} % of {best} are right and {100 * low:.1f} % of {worst}; the "
            f"classes differ{chance}{'' if p is None else f' (χ², p {_p(p)})'}."
        )
    base = part["series"][part["reference"]]["mean"]
    for label, one in part["series"].items():
        if label != part["reference"]:
            relation = spearman(base, one["mean"])
            yield (
                f"{part['label']}: that {label} finds the same classes hard as {part['reference']} "
                f"{verdict(relation, 1)} ({told(relation)})."
            )
    relation = spearman(part["val"], base)
    yield (
        f"{part['label']}: the order is no accident of the rows: accuracy on validation and on test rows of "
        f"{part['reference']} go together; this {verdict(relation, 1)} ({told(relation)})."
    )


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
