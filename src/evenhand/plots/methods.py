"""Figures that put methods side by side: what each gives its worst group, and at what price on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import plotly.graph_objects as go

from .style import COLOURS, blank, colour, symbol


def tradeoff(values: Mapping[str, Sequence[tuple[float, float]]], **titles: Any) -> go.Figure:
    """Each method's (x, y) of every seed as a small point, and their mean with a bar of one sd each way.

    Args:
        values: by method, a pair for each seed.
        titles: `title`, `x_title`, `y_title`, and the layout of Plotly.
    """
    figure = blank(**titles)
    for number, (label, pairs) in enumerate(values.items()):
        if not pairs:
            continue
        x, y = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if len(pairs) > 1:
            figure.add_scatter(
                x=x, y=y, mode="markers", legendgroup=label, showlegend=False, name=label,
                marker={"color": colour(number, 0.45), "symbol": _symbol(number), "size": 6},
                hovertemplate="%{x:.1f}, %{y:.1f}<extra>" + _plain(label) + ", one seed</extra>",
            )  # fmt: skip
        figure.add_scatter(
            x=[fmean(x)], y=[fmean(y)], mode="markers", legendgroup=label, name=label,
            marker={"color": colour(number), "symbol": _symbol(number), "size": 12},
            error_x=_bar(x, number), error_y=_bar(y, number),
            hovertemplate="%{x:.2f}, %{y:.2f}<extra>" + _plain(label) + "</extra>",
        )  # fmt: skip
    return figure.update_layout(showlegend=True)


def _symbol(number: int) -> str:
    """Another one than before where the colours begin anew."""
    return symbol(number + number // len(COLOURS))


def _bar(values: Sequence[float], number: int) -> dict[str, Any] | None:
    if len(values) < 2:
        return None
    return {"type": "data", "array": [stdev(values)], "thickness": 1.2, "width": 4, "color": colour(number)}


def _plain(text: str) -> str:
    """Text that a template of Plotly takes as it is."""
    return text.replace("<", "&lt;").replace("%{", "% {")
