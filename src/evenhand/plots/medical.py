"""Figures of label bias: collapse by epoch, what features tell about groups, differences to clean training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .basic import lines
from .style import GRID, INK, SYMBOLS, blank, colour

CLEAN, BIASED = "clean", "biased"
COLOUR = {CLEAN: 0, BIASED: 1}
DASH = {CLEAN: "dash", BIASED: "solid"}
Curve = tuple[Sequence[float], Sequence[float]]  # mean and sd, by epoch


def collapse_by_epoch(title: str, curves: Mapping[str, Curve], y_title: str) -> go.Figure:
    """Training NC1 of clean (dashed) and biased labels with bands of one sd; a NaN sd draws no band."""
    shown, bands = {}, {}
    for kind, (mean_E, sd_E) in curves.items():
        name = f"{kind} labels"
        shown[name] = [_none(value) for value in mean_E]
        if not any(math.isnan(sd) for sd in sd_E):
            low = [max(0.0, mean - sd) for mean, sd in zip(mean_E, sd_E, strict=True)]
            bands[name] = low, [mean + sd for mean, sd in zip(mean_E, sd_E, strict=True)]
    figure = lines(
        shown, bands=bands, title=title, x_title="epoch", y_title=y_title,
        colours={f"{kind} labels": COLOUR[kind] for kind in curves},
        dashes={f"{kind} labels": DASH[kind] for kind in curves},
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    return figure


def separability(title: str, points: Sequence[Mapping[str, Any]], tau: float | None) -> go.Figure:
    """AUC of telling the attribute from features (y) against from inputs (x), with error bars and the line y = x.

    Args:
        points: each with `name`, `x`, `y` and, where known, `x_error`, `y_error`.
        tau: Kendall's tau of the points.
    """
    figure = blank(
        title=title,
        x_title="AUC of the attribute from the inputs",
        y_title="AUC of the attribute from features (SPLIT)",
    )
    known = [value for point in points for value in _reach(point)]
    low, high = min([0.5, *known]) - 0.02, max([0.9, *known]) + 0.02
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", name="equal", hoverinfo="skip",
        line={"color": "#888888", "dash": "dot", "width": 1.5},
    )  # fmt: skip
    for number, point in enumerate(points):
        figure.add_scatter(
            x=[point["x"]], y=[point["y"]], name=point["name"], mode="markers",
            marker={"color": colour(number), "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 11},
            error_x=_error(point.get("x_error")), error_y=_error(point.get("y_error")),
        )  # fmt: skip
    figure.update_xaxes(range=[low, high], constrain="domain")
    figure.update_yaxes(range=[low, high], scaleanchor="x", scaleratio=1, constrain="domain")
    figure.update_layout(legend={"orientation": "v", "x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top"})
    if tau is not None:
        figure.add_annotation(
            text=f"Kendall's τ = {tau:.2f}", x=0.03, y=0.97, xref="x domain", yref="y domain", showarrow=False,
            xanchor="left", yanchor="top",
        )  # fmt: skip
    return figure


def differences(title: str, groups: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Biased minus clean, of test NC1 and of test F1, for each group of each data set; a star where p < 0.05.

    Args:
        groups: each with `data`, `group`, `biased` (its labels were changed), `nc1`, `nc1_sd`, `f1`, `f1_sd`, `star`.
    """
    panels = (("nc1", "Δ NC1 (test)"), ("f1", "Δ F1 (test)"))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    figure.update_layout(blank(title).layout)
    for row, (value, heading) in enumerate(panels, start=1):
        for biased in (False, True):
            if chosen := [group for group in groups if bool(group["biased"]) == biased]:
                figure.add_bar(**_bars(chosen, value, biased=biased), showlegend=row == 1, row=row, col=1)
        axis = {"gridcolor": GRID, "showline": True, "linecolor": GRID, "automargin": True}
        figure.update_xaxes(
            **axis, showgrid=False, dividercolor=GRID, tickangle=0, tickfont={"size": 11}, row=row, col=1
        )
        figure.update_yaxes(
            **axis, zeroline=True, zerolinecolor=INK, zerolinewidth=1, title_text=heading, row=row, col=1
        )
    if starred := [group for group in groups if group["star"]]:
        figure.add_scatter(
            x=_places(starred), y=[max(0.0, group["f1"] + (_none(group["f1_sd"]) or 0.0)) for group in starred],
            mode="text", text=["*"] * len(starred), textposition="top center", textfont={"size": 20, "color": INK},
            name="p < 0.05", showlegend=False, cliponaxis=False, row=2, col=1,
        )  # fmt: skip
    order = list(dict.fromkeys(zip(*_places(groups), strict=True)))
    figure.update_xaxes(categoryorder="array", categoryarray=order)
    figure.update_layout(showlegend=True, barmode="overlay", bargap=0.25, height=500)
    figure.update_layout(legend={"x": 1, "y": 1.02, "xanchor": "right", "yanchor": "bottom", "orientation": "h"})
    return figure


def _bars(chosen: Sequence[Mapping[str, Any]], value: str, *, biased: bool) -> dict[str, Any]:
    """The bars of groups whose labels were changed, or were not."""
    return {
        "x": _places(chosen),
        "y": [group[value] for group in chosen],
        "error_y": _errors([group[f"{value}_sd"] for group in chosen]),
        "marker": {"color": colour(int(biased)), "pattern": {"shape": "/" if biased else ""}},
        "name": "labels changed in training" if biased else "labels as they are",
        "legendgroup": str(biased),
    }


def _places(groups: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Data set and group, for two rows of labels."""
    return [[group["data"] for group in groups], [group["group"] for group in groups]]


def _reach(point: Mapping[str, Any]) -> list[float]:
    """The ends of a point's error bars."""
    found = []
    for axis in ("x", "y"):
        value, error = point[axis], point.get(f"{axis}_error") or 0.0
        if value is not None:
            found += [value - error, value + error]
    return found


def _errors(sizes: Sequence[float]) -> dict[str, Any] | None:
    """Error bars, unless there are none."""
    known = [_none(size) for size in sizes]
    return (
        {"type": "data", "array": known, "thickness": 1.5, "width": 4, "color": INK}
        if any(size is not None for size in known)
        else None
    )


def _error(size: float | None) -> dict[str, Any] | None:
    return None if size is None else {"type": "data", "array": [size], "thickness": 1.5, "width": 4}


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
