"""Figures of classes in an order: curves along sorted classes, scatters of two quantities, classes on a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from .basic import Numbers, bars
from .style import BAND, blank, colour, symbol

Thirds = Sequence[tuple[str, int]]  # name and number of classes of each part of the order

NAMED = 30  # classes up to which they are named on the axis; of more, the ranks are shown
LABELLED = 15  # classes up to which points are named
SMOOTHED = 60  # classes from which on the values stand back behind their trend
SHADES = (0.03, 0.08, 0.14)
WIDTH, STRIP, PLOT = 760, 165, 300  # CSS pixels


@dataclass(frozen=True)
class Strip:
    """Curves over one vertical axis.

    Attributes:
        series: a value for each class, in their order, by name.
        bands: low and high around a series.
        trends: a smoother curve along a series.
        log: a logarithmic axis.
        zero: a line at 0.
        from_zero: the axis begins at 0.
    """

    y_title: str
    series: Mapping[str, Numbers]
    bands: Mapping[str, tuple[Numbers, Numbers]] = field(default_factory=dict)
    trends: Mapping[str, Numbers] = field(default_factory=dict)
    log: bool = False
    zero: bool = False
    from_zero: bool = False


def sorted_curves(
    strips: Sequence[Strip], classes: Sequence[str], thirds: Thirds, *, title: str = "", x_title: str = ""
) -> go.Figure:
    """Curves along classes that are sorted, one strip below the other, with the parts of the order shaded and named.

    A series has the same colour in all strips. Few classes are named below the axis, of many the rank is shown.
    """
    names = list(dict.fromkeys(name for strip in strips for name in strip.series))
    figure = blank(title, x_title)
    bottom, top = _margin_below(figure, classes, names if len(names) > 1 else []), _margin_above(title) + 18
    inner = PLOT if len(strips) == 1 else STRIP * len(strips)
    gap = 0 if len(strips) == 1 else 22 / inner
    size = (1 - gap * (len(strips) - 1)) / len(strips)
    shown: set[str] = set()
    for number, strip in enumerate(strips):
        axis = f"y{number + 1}" if number else "y"
        high = 1 - number * (size + gap)
        _draw(figure, strip, axis, names, shown)
        figure.update_layout({f"yaxis{number + 1 if number else ''}": _vertical(figure, strip, (high - size, high))})
    _horizontal(figure, classes, len(strips))
    _shade(figure, thirds)
    _lift_title(figure)
    figure.update_layout(
        width=WIDTH, height=top + inner + bottom, margin={"t": top, "b": bottom}, showlegend=len(names) > 1
    )
    return figure


def class_scatter(
    series: Mapping[str, tuple[Numbers, Numbers]], classes: Sequence[str], *, title: str = "", **titles: Any
) -> go.Figure:
    """A point (x, y) of each class and series; few classes are named at the points of the first series."""
    figure = blank(title, **titles)
    for number, (name, (x, y)) in enumerate(series.items()):
        named = number == 0 and len(classes) <= LABELLED
        figure.add_scatter(
            x=list(x), y=list(y), name=name, text=list(classes), mode="markers+text" if named else "markers",
            textposition=_beside(x, y) if named else None, textfont={"size": 11}, cliponaxis=False,
            hovertemplate="%{text}: %{x:.4g}, %{y:.4g}<extra>" + name + "</extra>",
            marker={"color": colour(number), "symbol": symbol(number), "size": 9 if len(classes) <= LABELLED else 5,
                    "opacity": 0.9 if len(classes) <= SMOOTHED else 0.6},
        )  # fmt: skip
    rows = _legend_rows(list(series))
    _lift_title(figure)
    figure.update_layout(
        width=WIDTH, height=440, showlegend=True, margin={"b": 62 + 22 * rows, "t": _margin_above(title)},
        legend={"yref": "container", "y": 0.01, "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_xaxes(automargin=False)
    return figure


def third_bars(series: Mapping[str, Numbers], names: Sequence[str], *, title: str = "", **titles: Any) -> go.Figure:
    """A bar for each part of the order and series, up or down from 0."""
    figure = bars(series, names, title=title, **titles)
    _lift_title(figure)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(zeroline=True, zerolinecolor="#888888", zerolinewidth=1)
    figure.update_layout(width=WIDTH, height=420, margin={"t": _margin_above(title) + 6, "b": 92}, bargap=0.3)
    figure.update_layout(legend={"yref": "container", "y": 0.01, "yanchor": "bottom"})
    return figure


def class_plane(
    points: Mapping[str, tuple[Numbers, Numbers]], parts: Mapping[str, str], *, title: str = ""
) -> go.Figure:
    """Rows of some classes as points on a plane; the symbol says to which part of the order a class belongs.

    Args:
        points: x and y of the rows of each class, by its name.
        parts: of each class, such as Easy or Hard.
    """
    figure = blank(title)
    order = list(dict.fromkeys(parts.values()))
    for number, (name, (x, y)) in enumerate(points.items()):
        place = order.index(parts[name])
        figure.add_scatter(
            x=list(x), y=list(y), name=name, mode="markers",
            legendgroup=parts[name], legendgrouptitle={"text": f"<b>{parts[name]}</b>"},
            marker={"color": colour(number), "symbol": ("circle", "x-thin", "diamond-open")[place % 3], "size": 6,
                    "opacity": 0.85, "line": {"width": (0, 1.6, 1.2)[place % 3], "color": colour(number)}},
        )  # fmt: skip
    _lift_title(figure)
    figure.update_xaxes(showticklabels=False, showgrid=False, mirror=True, title_text="")
    figure.update_yaxes(showticklabels=False, showgrid=False, mirror=True, title_text="", scaleanchor="x")
    figure.update_layout(
        width=WIDTH, height=500, margin={"l": 16, "r": 16, "b": 16, "t": _margin_above(title)},
        legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top", "itemsizing": "constant", "tracegroupgap": 14},
    )  # fmt: skip
    return figure


def _draw(figure: go.Figure, strip: Strip, axis: str, names: list[str], shown: set[str]) -> None:
    """The curves of a strip; `shown` are the names that are in the legend already."""
    n_classes = len(next(iter(strip.series.values())))
    along = list(range(1, n_classes + 1))
    for name, values in strip.series.items():
        number, trend = names.index(name), strip.trends.get(name)
        back = trend is not None and n_classes > SMOOTHED
        if name in strip.bands:
            low, high = strip.bands[name]
            figure.add_scatter(
                x=along + along[::-1], y=[*high, *list(low)[::-1]], fill="toself", fillcolor=colour(number, BAND),
                line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name, yaxis=axis,
            )  # fmt: skip
        figure.add_scatter(
            x=along, y=list(values), name=name, legendgroup=name, yaxis=axis, showlegend=name not in shown,
            mode="lines+markers" if n_classes <= NAMED else "lines", opacity=0.35 if back else 1,
            line={"color": colour(number), "width": 1 if n_classes > SMOOTHED else 2},
            marker={"symbol": symbol(number), "size": 8}, zorder=len(names) - number, cliponaxis=False,
        )  # fmt: skip
        shown.add(name)
        if trend is not None:
            figure.add_scatter(
                x=along, y=list(trend), name=f"{name}, trend", legendgroup=name, yaxis=axis, showlegend=False,
                mode="lines", line={"color": colour(number), "width": 2.5 if back else 1.5,
                                    "dash": "solid" if back else "dash"},
            )  # fmt: skip


def _vertical(figure: go.Figure, strip: Strip, domain: tuple[float, float]) -> dict[str, Any]:
    """The vertical axis of a strip."""
    style = figure.layout.yaxis.to_plotly_json()
    own: dict[str, Any] = {
        "domain": [max(domain[0], 0.0), min(domain[1], 1.0)],
        "title": {"text": strip.y_title},
        "zeroline": strip.zero,
        "zerolinecolor": "#888888",
        "zerolinewidth": 1,
        "anchor": "x",
        "type": "log" if strip.log else "linear",
        "dtick": 1 if strip.log else None,
        "exponentformat": "none",
        "rangemode": "tozero" if strip.from_zero else "normal",
    }
    return {**style, **own}


def _horizontal(figure: go.Figure, classes: Sequence[str], n_strips: int) -> None:
    named = len(classes) <= NAMED
    lowest = f"y{n_strips}" if n_strips > 1 else "y"
    figure.update_xaxes(range=[0.5, len(classes) + 0.5], showgrid=False, automargin=False, anchor=lowest)
    if named:
        ranks = list(range(1, len(classes) + 1))
        figure.update_xaxes(tickvals=ranks, ticktext=list(classes), tickangle=_angle(classes), ticks="outside")


def _shade(figure: go.Figure, thirds: Thirds) -> None:
    """A ground of its own for each part of the order, behind all strips, and its name above."""
    begin = 0.5
    for (name, size), shade in zip(thirds, SHADES, strict=False):
        if size:
            figure.add_shape(
                type="rect", xref="x", yref="paper", x0=begin, x1=begin + size, y0=0, y1=1, line={"width": 0},
                fillcolor=f"rgba(90,90,90,{shade})", layer="below",
            )  # fmt: skip
            figure.add_annotation(
                x=begin + size / 2, y=1, xref="x", yref="paper", text=name, showarrow=False, yanchor="bottom",
                font={"size": 12, "color": "#555555"},
            )  # fmt: skip
        begin += size


def _margin_below(figure: go.Figure, classes: Sequence[str], names: Sequence[str]) -> int:
    """Room for names of classes, the title of the axis and the legend below it, so that none lies on another."""
    named = len(classes) <= NAMED
    slant = math.sin(math.radians(abs(_angle(classes)))) if named else 0.0
    ticks = 16 + (7 * slant * max(map(len, classes)) if named else 0)
    title = 30 if figure.layout.xaxis.title.text else 8
    figure.update_xaxes(title_standoff=8)
    figure.update_layout(legend={"yref": "container", "y": 0.01, "yanchor": "bottom"})
    return round(ticks + title + 22 * _legend_rows(names) + 10)


def _margin_above(title: str) -> int:
    """Room for the title, which may have a second line."""
    return 16 if not title else 66 if "<br>" in title else 46


def _lift_title(figure: go.Figure) -> None:
    """The title at the upper edge, however high the picture is."""
    if figure.layout.title.text:
        figure.update_layout(title={"yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 22}})


def _legend_rows(names: Sequence[str]) -> int:
    width = WIDTH - 80
    return math.ceil(sum(7 * len(name) + 52 for name in names) / width)


def _angle(classes: Sequence[str]) -> int:
    """0 where the names stand beside each other, else slanting."""
    return 0 if max(map(len, classes)) * 7.5 * len(classes) < WIDTH - 80 and len(classes) <= NAMED else -35


def _beside(x: Numbers, y: Numbers) -> list[str]:
    """Where the name of each point is farthest from other points and names: to its right, left, above or below."""
    at = list(zip(_scaled(x), _scaled(y), strict=True))
    taken, chosen = list(at), []
    for place in at:
        spots = {name: (place[0] + dx, place[1] + dy) for name, (dx, dy) in _PLACES.items()}
        others = [other for other in taken if other != place]
        best = max(spots, key=lambda name: _room(spots[name], others))
        taken.append(spots[best])
        chosen.append(best)
    return chosen


_PLACES = {
    "middle right": (0.08, 0.0), "middle left": (-0.08, 0.0), "top center": (0.0, 0.06), "bottom center": (0.0, -0.06)
}  # fmt: skip


def _room(spot: tuple[float, float], others: Sequence[tuple[float, float]]) -> float:
    """How far the nearest of the others is, a name being wider than high; less where a name would leave the plot."""
    near = min((math.dist((0.6 * spot[0], spot[1]), (0.6 * other[0], other[1])) for other in others), default=1.0)
    return near - (0.05 if not 0 <= spot[0] <= 1 else 0.0)


def _scaled(values: Numbers) -> list[float]:
    """The values from 0 to 1; 0 for one that there is not."""
    defined = [value for value in values if value is not None]
    low, high = min(defined, default=0.0), max(defined, default=1.0)
    return [0.0 if value is None else (value - low) / ((high - low) or 1.0) for value in values]
