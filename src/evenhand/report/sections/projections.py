"""Features of tracked runs on a plane: the first epoch beside the last, by class, by group and by error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from evenhand.errors import BadInput
from evenhand.report.blocks import Block, Cell, Chart, Charts, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import charted, percent, share
from evenhand.runs import Run
from evenhand.study.comparison import MAIN, Comparison, Entry, Figure

if TYPE_CHECKING:
    import numpy as np

MOST_METHODS, MOST_ROWS, MOST_KINDS = 3, 600, 24
HEIGHT = 260
EPOCHS = ("first", "last")


@dataclass(frozen=True)
class _Panel:
    """A run's rows at one epoch: where they are on the plane, and the kind of each by what they are coloured by."""

    label: str
    epoch: str
    x: list[float]
    y: list[float]
    kinds: dict[str, list[str]]
    trust: float
    purity: dict[str, float]
    wrong: float


def sections(found: Found) -> list[Section]:
    """Of the reference and the methods that serve their worst group best, by principal components.

    UMAP and t-SNE take many seconds for each run, and a page is made in a moment.
    """
    comparison = found.comparison
    if comparison is None:
        return []
    tracked = list(_tracked(comparison, found.problems))
    if not tracked:
        return []
    labels, groups = tracked[0][1].metrics["labels"], [each["group"] for each in comparison.groups()]
    made = [list(_panels(label, points, labels["classes"], groups)) for label, _, points in tracked]
    panels = [panel for epoch in zip(*made, strict=True) for panel in epoch]  # methods side by side, epochs in rows
    part = "test" if str(tracked[0][2]["part"]) == "test" else "validation"
    n_rows = len(panels[0].x)
    coloured = {"class": labels["classes"], **({"group": groups} if labels["attributes"] else {})}
    blocks: list[Block] = [_charts(panels, by, names) for by, names in coloured.items() if len(names) <= MOST_KINDS]
    notes = (
        f"Each point is one of {n_rows} {part} rows, of the first seed. The two directions of largest variance (PCA) "
        "are shown, of each epoch its own; axes have no scale.",
        "Trustworthiness is how far neighbours on the plane are neighbours among all features (1: all of them; below "
        "0.9 what one sees may not be there). Purity is of all features: the share of a row's 10 nearest neighbours "
        "that are of its own class or group, mean over classes or groups.",
    )
    blocks += [_errors(panels), _table(panels, list(coloured)), Text(notes, "note")]
    return [Section("projections", "Where rows lie among the features", tuple(blocks))]


def _tracked(comparison: Comparison, problems: list[str]) -> Iterator[tuple[str, Run, dict[str, Any]]]:
    """The runs to show, with their points."""
    reference = next(entry for entry in comparison.shown if entry.label == comparison.reference)
    rest = sorted((entry for entry in comparison.shown if entry is not reference), key=_served, reverse=True)
    shown = 0
    for entry in (reference, *rest):
        run = entry.finished[0]
        try:
            points = run.points() if shown < MOST_METHODS else None
            if points is not None and len(points["y_N"]) > 1:
                yield entry.label, run, points
                shown += 1
        except BadInput as error:
            problems.append(f"{run.folder.name}: {error}.")


def _served(entry: Entry) -> float:
    return Figure.over(entry.values(MAIN)).mean


def _panels(label: str, points: dict[str, Any], classes: Sequence[str], groups: Sequence[str]) -> Iterator[_Panel]:
    """The first and the last epoch of a run."""
    from evenhand import projection
    from evenhand.plots.projections import by_error

    every = -(-len(points["y_N"]) // MOST_ROWS)
    kept = {name: values[::every] for name, values in points.items() if values.ndim}
    y_N, group_N = kept["y_N"], kept["group_N"]
    known_N = group_N >= 0
    named = {
        "class": [classes[y] for y in y_N.tolist()],
        "group": [groups[g] if g >= 0 else "group not known" for g in group_N.tolist()],
    }
    both = projection.joint(kept["first_ND"], kept["last_ND"], "pca")
    for epoch, points_N2 in zip(EPOCHS, both, strict=True):
        features_ND, wrong_N = kept[f"{epoch}_ND"], kept[f"predicted_{epoch}_N"] != y_N
        x, y = _rounded(points_N2)
        yield _Panel(
            label, epoch, x, y, named | {"error": by_error(wrong_N.tolist())},
            projection.trustworthiness(features_ND, points_N2),
            {
                "class": projection.purity(features_ND, y_N),
                "group": projection.purity(features_ND[known_N], group_N[known_N]),
            },
            float(wrong_N.mean()),
        )  # fmt: skip


def _rounded(points_N2: np.ndarray[Any, Any]) -> tuple[list[float], list[float]]:
    """x and y to a thousandth of their largest, which no screen can tell apart."""
    largest = abs(points_N2).max() or 1.0
    x, y = (points_N2 / largest).round(3).T.tolist()
    return x, y


def _charts(panels: list[_Panel], by: str, names: Sequence[str]) -> Charts:
    charts = tuple(
        _chart(panel, by, names, f"purity of {by} {percent(_or_none(panel.purity[by]))} %") for panel in panels
    )
    return Charts(f"Features by {by}", charts, tuple((name, number) for number, name in enumerate(names)))


def _errors(panels: list[_Panel]) -> Charts:
    from evenhand.plots.projections import RIGHT, WRONG

    charts = tuple(
        _chart(panel, "error", (RIGHT, WRONG), f"{percent(panel.wrong)} % predicted wrong") for panel in panels
    )
    return Charts("Features by error", charts, ((RIGHT, 6), (WRONG, 1)))


def _chart(panel: _Panel, by: str, names: Sequence[str], said: str) -> Chart:
    from evenhand.plots.projections import projections

    order = [*names, *({*panel.kinds[by]} - {*names})]
    figure = projections({"": (panel.x, panel.y)}, {"": panel.kinds[by]}, order=order)
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 8, "t": 8, "b": 8})
    title = f"{panel.label}, {panel.epoch} epoch"
    alt = f"Features of {title}, by {by}, in two dimensions: {said}, trustworthiness {panel.trust:.2f}."
    return charted(title, figure, alt, height=HEIGHT)


def _table(panels: list[_Panel], coloured: list[str]) -> Table:
    rows = tuple(
        (
            Cell(panel.label), Cell(panel.epoch), *(share(_or_none(panel.purity[by])) for by in coloured),
            share(panel.wrong), Cell(f"{panel.trust:.2f}", _or_none(panel.trust)),
        )
        for panel in panels
    )  # fmt: skip
    columns = ("method", "epoch", *(f"purity of {by}, %" for by in coloured), "wrong, %", "trustworthiness")
    return Table("What the points say in numbers", columns, rows, (False, False, *(True for _ in coloured), True, True))


def _or_none(value: float) -> float | None:
    return None if isnan(value) else value
