"""What happens to the features: cosines, variances and neural collapse by epoch, and the means in space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from statistics import fmean
from typing import Any

from evenhand.errors import BadInput
from evenhand.plots import lines
from evenhand.plots.space import space
from evenhand.report.blocks import Block, Cell, Chart, Charts, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import by_epoch, charted
from evenhand.runs import Run
from evenhand.study.comparison import Comparison, Entry

Curve = list[float | None]
Curves = dict[str, Curve]

COSINES = {
    "d_cls": "between classes",
    "d_maj": "majority groups of two classes",
    "d_min": "minority groups of two classes",
    "w_sim": "rows of the classifier",
}
# Of NC2, two classes have the second: their means are opposite and equally long whatever the features are.
COLLAPSE: dict[str, tuple[tuple[str, str], ...]] = {
    "NC1 · within-class variability": (("nc1_cdnv", "variance over squared distance of means"),),
    "NC2 · a regular simplex": (
        ("nc2_structure_means", "distance of class means from it"),
        ("nc2_structure_group_means", "distance of group means from it"),
    ),
    "NC3 · means and classifier agree": (("nc3_product", "distance between them"),),
    "NC4 · nearest class mean": (("nc4_mismatch", "share of rows where it disagrees"),),
}
MOST_PANELS, MOST_SPACES, MOST_GROUPS = 9, 3, 8
SMALL = 1.2  # of the scene in space: panels are about as high as they are wide


def sections(found: Found) -> list[Section]:
    """Curves of tracked runs, and the means and classifier of every run in three dimensions."""
    comparison = found.comparison
    if comparison is None:
        return []
    blocks = [*_curves(comparison), *_in_space(comparison, found.problems)]
    return [Section("geometry", "What happens to the features", tuple(blocks))] if blocks else []


def _curves(comparison: Comparison) -> list[Block]:
    tracked = [entry for entry in comparison.shown if all(run.collapse for run in entry.finished)]
    if not tracked:
        return []
    part = "test" if all("test" in run.collapse[-1]["parts"] for entry in tracked for run in entry.finished) else "val"
    seeds = len(comparison.seeds)
    rows = "test" if part == "test" else "validation"
    note = f"Of {rows} rows after each epoch" + (f"; means over {seeds} seeds." if seeds > 1 else ".")
    names = [group["group"] for group in comparison.groups()][:MOST_GROUPS]
    return [
        _cosines(tracked[:MOST_PANELS], part),
        _collapse(tracked, part, len(tracked[0].finished[0].metrics["labels"]["classes"])),
        _variances(tracked[:MOST_PANELS], part, names),
        Text((note, COSINE_NOTE), "note"),
    ]


COSINE_NOTE = (
    "Cosines are of means as seen from the origin. Where the minority's stays above the majority's, the features of "
    "rare groups keep together what the label tells apart."
)


def _cosines(tracked: list[Entry], part: str) -> Charts:
    found = {entry.label: _named({COSINES[key]: _scalar(entry, part, key) for key in COSINES}) for entry in tracked}
    return _multiples(
        "Cosines of means and of the classifier, by epoch", "Cosines", found, COSINES.values(), (-1.05, 1.05)
    )


def _variances(tracked: list[Entry], part: str, names: list[str]) -> Charts:
    found = {
        entry.label: {name: _group(entry, part, "variance", g) for g, name in enumerate(names)} for entry in tracked
    }
    return _multiples("Variance of the features within each group, by epoch", "Variances", found, names, None)


def _multiples(
    title: str, what: str, found: Mapping[str, Curves], names: Any, limits: tuple[float, float] | None
) -> Charts:
    numbers = {name: number for number, name in enumerate(names)}
    charts = []
    for label, curves in found.items():
        figure = lines(curves, x_title="epoch", colours=numbers).update_layout(showlegend=False)
        if limits:
            figure.update_yaxes(range=list(limits))
        else:
            figure.update_yaxes(rangemode="tozero")
        alt = f"{what} by epoch of {label}: {_ends(curves)}."
        charts.append(charted(label, figure, alt, by_epoch(f"{what} of {label}", curves, 3), height=230))
    return Charts(title, tuple(charts), tuple(numbers.items()))


def _ends(curves: Curves) -> str:
    known = {name: [value for value in curve if value is not None] for name, curve in curves.items()}
    return "; ".join(f"{name} from {curve[0]:.2f} to {curve[-1]:.2f}" for name, curve in known.items() if curve)


def _collapse(tracked: list[Entry], part: str, n_classes: int) -> Charts:
    charts = []
    for title, kinds in COLLAPSE.items():
        name, meaning = kinds[-1] if n_classes == 2 else kinds[0]
        curves = _named({entry.label: _scalar(entry, part, name) for entry in tracked})
        if not curves:
            continue
        figure = lines(curves, x_title="epoch").update_layout(showlegend=False)
        figure.update_yaxes(rangemode="tozero")
        alt = f"{title}, {meaning}, by epoch: {_ends(curves)}."
        charts.append(charted(f"{title}: {meaning}", figure, alt, by_epoch(title, curves, 3), height=250))
    legend = tuple((entry.label, number) for number, entry in enumerate(tracked))
    return Charts("Neural collapse by epoch: all four are 0 when it is complete", tuple(charts), legend)


def _named(curves: Curves) -> Curves:
    """Those with at least one number."""
    return {name: curve for name, curve in curves.items() if any(value is not None for value in curve)}


def _scalar(entry: Entry, part: str, name: str) -> Curve:
    return _mean([[line["parts"][part]["scalars"].get(name) for line in run.collapse] for run in entry.finished])


def _group(entry: Entry, part: str, column: str, g: int) -> Curve:
    tables = [[line["parts"][part]["groups"].get(column, []) for line in run.collapse] for run in entry.finished]
    return _mean([[values[g] if g < len(values) else None for values in run] for run in tables])


def _mean(curves: list[Curve]) -> Curve:
    found = [[value for value in at if value is not None] for at in zip_longest(*curves)]
    return [fmean(values) if values else None for values in found]


def _in_space(comparison: Comparison, problems: list[str]) -> list[Block]:
    """The reference's means and classifier, and those of the methods that serve their worst group best."""
    reference = next(entry for entry in comparison.shown if entry.label == comparison.reference)
    rest = sorted((entry for entry in comparison.shown if entry is not reference), key=_served, reverse=True)
    charts = [
        _space(entry.label, run.geometry, _majority(run))
        for entry, run in _with_geometry([reference, *rest], problems)
        if run.geometry and run.geometry["vectors"]
    ][:MOST_SPACES]
    if not charts:
        return []
    note = (
        "Drag to turn. Of the first seed, on test rows, a colour for each class: the mean of its largest training "
        "group (filled), of its smallest (open) and of all its rows (square) as seen from the mean of class means, and "
        "its vector in the classifier (the arrow, scaled to comparable length)."
    )
    return [
        Charts("Means and classifier in the three dimensions that show most of them", tuple(charts)),
        Text((note,), "note"),
    ]


def _with_geometry(entries: list[Entry], problems: list[str]) -> Iterator[tuple[Entry, Run]]:
    for entry in entries:
        run = entry.finished[0]
        try:
            if run.geometry:
                yield entry, run
        except BadInput as error:
            problems.append(f"{run.folder.name}: {error}.")


def _served(entry: Entry) -> float:
    values = [run.metrics["worst_group"]["value"] for run in entry.finished]
    return fmean(value if value is not None else 0.0 for value in values)


def _majority(run: Run) -> dict[int, int]:
    """The attribute value of each class's largest training group."""
    counts, n_classes = [group["train"] for group in run.metrics["groups"]], len(run.metrics["labels"]["classes"])
    each = len(counts) // n_classes
    return {y: max(range(each), key=lambda a, y=y: counts[y * each + a]) for y in range(n_classes)}  # type: ignore[misc]


def _space(label: str, geometry: Mapping[str, Any], majority: Mapping[int, int]) -> Chart:
    vectors = geometry["vectors"]
    kinds = {"group_mean": "group mean", "class_mean": "class mean", "weight": "classifier row"}
    rows = tuple(
        (
            Cell(f"{kinds.get(vector['kind'], vector['kind'])}: {vector['name']}"), Cell(str(vector["count"] or "")),
            *(Cell(f"{value:.3f}", value) for value in vector["xyz"]),
        )
        for vector in vectors
    )  # fmt: skip
    table = Table(f"Coordinates of {label}", ("vector", "rows", "x", "y", "z"), rows, (False, True, True, True, True))
    share = "" if geometry["explained"] is None else f", {100 * geometry['explained']:.0f} % of their squared length"
    alt = f"Means of groups and classes, and rows of the classifier, of {label} in three dimensions{share}."
    figure = space(vectors, majority=majority, zoom=SMALL)
    figure.update_layout(showlegend=False, margin={"l": 0, "r": 0, "t": 0, "b": 0}, width=None, height=None)
    figure.update_scenes(zaxis_showbackground=False)
    return charted(f"{label}{share}", figure, alt, table, height=280)
