"""Curves by epoch of the geometry of features: cosines, and variances or losses of groups, with bands over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .basic import Numbers, lines
from .style import INK

Seeds = Sequence[Numbers]  # a curve by epoch for each seed

COSINES = {  # what they are of, and the dash that each has in every figure
    "w_sim": ("classifier vectors", "dot"),
    "d_cls": ("class means", "dashdot"),
    "d_maj": ("majority means", "solid"),
    "d_min": ("minority means", "dash"),
}
RANKS = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def over_seeds(curves: Seeds) -> tuple[list[float | None], tuple[list[float | None], list[float | None]] | None]:
    """The mean curve, and from one sd (n − 1) below it to one above; no band where no epoch has two seeds."""
    mean, low, high, spread = [], [], [], False
    for epoch in range(max((len(curve) for curve in curves), default=0)):
        known = [curve[epoch] for curve in curves if epoch < len(curve)]
        values = [value for value in known if value is not None and math.isfinite(value)]
        centre = sum(values) / len(values) if values else None
        sd = 0.0
        if centre is not None and len(values) > 1:
            sd, spread = math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1)), True
        mean.append(centre)
        low.append(None if centre is None else centre - sd)
        high.append(None if centre is None else centre + sd)
    return mean, (low, high) if spread else None


def cosines(curves: Mapping[str, Mapping[str, Seeds]], *, begins: int = 0, **titles: Any) -> go.Figure:
    """Cosines of means and of classifier vectors by epoch.

    Of one method each measure has a colour; of several the method has the colour. The dash is always the measure's.

    Args:
        curves: by the method's name, then by the measure's (one of `COSINES`), a curve for each seed.
        begins: how many epochs of plain training the first method begins with.
        titles: as `lines` takes them.
    """
    single = len(curves) == 1
    series, colours, dashes = {}, {}, {}
    for number, (method, measures) in enumerate(curves.items()):
        for place, (measure, (what, dashed)) in enumerate(COSINES.items()):
            if measure in measures:
                name = f"{what} ({measure})" if single else f"{method}, {what}"
                series[name], colours[name], dashes[name] = measures[measure], place if single else number, dashed
    figure = _by_epoch(series, colours, dashes, begins, **{"y_title": "cosine similarity", **titles})
    figure.update_yaxes(range=[-1.06, 1.06], tickvals=[-1, -0.5, 0, 0.5, 1])
    return figure


def group_curves(
    curves: Sequence[Seeds], groups: Sequence[Mapping[str, Any]], *, begins: int = 0, top: float = 0.0, **titles: Any
) -> go.Figure:
    """A figure of each group by epoch, from 0: a colour for each class, the majority solid, the minority dashed.

    Args:
        curves: of each group, a curve for each seed.
        groups: of each group its `name`, `class` and `rank`: 0 for the largest of its class in training, then 1, ….
        begins: as `cosines`.
        top: where the axis ends at least.
        titles: as `lines` takes them.
    """
    name_of = [f"{group['name']}{_size(group, groups)}" for group in groups]
    series = dict(zip(name_of, curves, strict=True))
    colours = {name: group["class"] for name, group in zip(name_of, groups, strict=True)}
    dashes = {name: RANKS[group["rank"] % len(RANKS)] for name, group in zip(name_of, groups, strict=True)}
    figure = _by_epoch(series, colours, dashes, begins, **titles)
    highest = [value for seeds in curves for curve in seeds for value in curve if value is not None]
    figure.update_yaxes(range=[0, 1.05 * max([top, *highest]) or 1])
    return figure


def _size(group: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> str:
    """` (majority)`, ` (minority)`, or nothing for a group between, and where a class has one group only."""
    last = max(other["rank"] for other in groups if other["class"] == group["class"])
    return "" if last == 0 else {0: " (majority)", last: " (minority)"}.get(group["rank"], "")


def _by_epoch(
    series: Mapping[str, Seeds], colours: Mapping[str, int], dashes: Mapping[str, str], begins: int, **titles: Any
) -> go.Figure:
    shown, bands = {}, {}
    for name, curves in series.items():
        shown[name], band = over_seeds(curves)
        if band:
            bands[name] = band
    figure = lines(shown, bands=bands, colours=colours, dashes=dashes, **{"x_title": "epoch", **titles})
    figure.update_traces(line_width=2.5, selector={"mode": "lines", "fill": None})
    last = max((len(values) for values in shown.values()), default=1)
    room = max(last - 1, 1) * 0.02
    figure.update_xaxes(range=[1 - room, max(last, 2) + room], tickformat="d")
    figure.update_layout(height=430 + 22 * math.ceil(len(shown) / 2), margin={"r": 24})
    if begins:
        figure.add_vline(
            x=begins + 0.5, line={"color": INK, "width": 1, "dash": "dot"}, annotation_text="plain training ends",
            annotation_position="top", annotation_xanchor="left", annotation_font={"size": 11, "color": INK},
        )  # fmt: skip
    return figure
