"""The kinds of figures that others are made of: lines with bands, bars with intervals, points with error bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .style import BAND, blank, colour, dash, symbol

Numbers = Sequence[float | None]


def lines(
    series: Mapping[str, Numbers],
    *,
    x: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    bands: Mapping[str, tuple[Numbers, Numbers]] | None = None,
    markers: bool = False,
    colours: Mapping[str, int] | None = None,
    dashes: Mapping[str, str] | None = None,
    **titles: Any,
) -> go.Figure:
    """A line for each series, with a band from `low` to `high` where there is one; None leaves a gap.

    A value that no line reaches is a point.

    Args:
        x: of all, or of each series by its name; default 1, 2, ….
        colours: the number of the colour of a series, where it should not be its place in order.
        dashes: of a series, as Plotly names them.
        titles: `title`, `x_title`, `y_title`, and the layout of Plotly.
    """
    figure = blank(**titles)
    for place, (name, values) in enumerate(series.items()):
        number = (colours or {}).get(name, place)
        along = x.get(name) if isinstance(x, Mapping) else x
        along = list(range(1, len(values) + 1)) if along is None else list(along)
        if bands and name in bands:
            low, high = bands[name]
            figure.add_scatter(
                x=along + along[::-1], y=[*high, *list(low)[::-1]], fill="toself", fillcolor=colour(number, BAND),
                line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name,
            )  # fmt: skip
        alone = _alone(values)
        figure.add_scatter(
            x=along, y=list(values), name=name, legendgroup=name,
            mode="lines+markers" if markers or any(alone) else "lines",
            line={"color": colour(number), "width": 2, "dash": (dashes or {}).get(name, dash(number))},
            marker={"symbol": symbol(number), "size": 7 if markers or not any(alone) else [7 * each for each in alone]},
        )  # fmt: skip
    return figure


def _alone(values: Numbers) -> list[bool]:
    """Which values have a gap or an end on either side, so that no line shows them."""
    known = [False, *(value is not None and not math.isnan(value) for value in values), False]
    return [here and not (before or after) for before, here, after in zip(known, known[1:], known[2:], strict=False)]


def bars(
    series: Mapping[str, Numbers],
    names: Sequence[str],
    *,
    intervals: Mapping[str, tuple[Numbers, Numbers]] | None = None,
    horizontal: bool = False,
    **titles: Any,
) -> go.Figure:
    """A bar for each name and series, side by side, with the interval from `low` to `high` where there is one."""
    figure = blank(**titles)
    value, name_axis = ("x", "y") if horizontal else ("y", "x")
    for number, (label, values) in enumerate(series.items()):
        error = None
        if intervals and label in intervals:
            low, high = intervals[label]
            error = {
                "type": "data", "symmetric": False, "thickness": 1.5,
                "array": [_apart(top, at) for top, at in zip(high, values, strict=True)],
                "arrayminus": [_apart(at, bottom) for bottom, at in zip(low, values, strict=True)],
            }  # fmt: skip
        figure.add_bar(
            **{value: list(values), name_axis: list(names), f"error_{value}": error},
            name=label, orientation="h" if horizontal else "v", marker={"color": colour(number)},
        )  # fmt: skip
    figure.update_layout(barmode="group", showlegend=len(series) > 1)
    return figure


def points(
    series: Mapping[str, tuple[Numbers, Numbers]],
    *,
    texts: Mapping[str, Sequence[str]] | None = None,
    errors: Mapping[str, tuple[Numbers, Numbers]] | None = None,
    size: float = 8,
    opacity: float = 1.0,
    **titles: Any,
) -> go.Figure:
    """Points (x, y) of each series, with labels to read on hovering, and with errors in x and y where given."""
    figure = blank(**titles)
    for number, (label, (x, y)) in enumerate(series.items()):
        wide = errors.get(label) if errors else None
        figure.add_scatter(
            x=list(x), y=list(y), name=label, mode="markers", text=list((texts or {}).get(label, [])) or None,
            marker={"color": colour(number), "symbol": symbol(number), "size": size, "opacity": opacity},
            error_x={"type": "data", "array": list(wide[0]), "thickness": 1} if wide else None,
            error_y={"type": "data", "array": list(wide[1]), "thickness": 1} if wide else None,
        )  # fmt: skip
    figure.update_layout(showlegend=len(series) > 1)
    return figure


def _apart(high: float | None, low: float | None) -> float | None:
    return None if high is None or low is None else max(high - low, 0.0)
