"""Features of tracked runs on a plane: the first epoch beside the last, by class, by group and by error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.errors import BadInput
from evenhand.report.blocks import Section, Text
from evenhand.report.found import Found
from evenhand.report.sections import _planes
from evenhand.report.sections._planes import Panel
from evenhand.runs import Run
from evenhand.study.comparison import MAIN, Comparison, Entry, Figure

if TYPE_CHECKING:
    import numpy as np

MOST_METHODS, MOST_ROWS = 3, 600
EPOCHS = ("first", "last")


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
    notes = (
        f"Each point is one of {n_rows} {part} rows, of the first seed. The two directions of largest variance (PCA) "
        "are shown, of each epoch its own; axes have no scale.",
        _planes.TRUST_NOTE,
    )
    shown = (*_planes.blocks(panels, coloured), Text(notes, "note"))
    return [Section("projections", "Where rows lie among the features", shown)]


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


def _panels(label: str, points: dict[str, Any], classes: Sequence[str], groups: Sequence[str]) -> Iterator[Panel]:
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
        yield Panel(
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
