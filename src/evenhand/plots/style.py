"""Colours, fonts and margins that all figures share."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

# Okabe and Ito (2008): told apart with every kind of colour vision; without their yellow, too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5D5D5D", "#8B5A2B")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "hexagon")
GRID, INK = "rgba(128,128,128,0.25)", "#222222"
BAND = 0.18  # opacity of a band around a line


def colour(number: int, opacity: float = 1.0) -> str:
    """The colour of the series `number`, in the notation of style sheets."""
    code = COLOURS[number % len(COLOURS)]
    red, green, blue = (int(code[at : at + 2], 16) for at in (1, 3, 5))
    return code if opacity == 1 else f"rgba({red},{green},{blue},{opacity})"


def dash(number: int) -> str:
    """The dash of the series `number`: another one for each round through the colours."""
    return DASHES[(number // len(COLOURS)) % len(DASHES)]


def symbol(number: int) -> str:
    """The symbol of the series `number`."""
    return SYMBOLS[number % len(SYMBOLS)]


def blank(title: str = "", x_title: str = "", y_title: str = "", **layout: Any) -> go.Figure:
    """A figure without data in the style of all."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        title={"text": title, "font": {"size": 15}, "x": 0, "xref": "paper"} if title else None,
        font={"family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": 13, "color": INK},
        margin={"l": 64, "r": 16, "t": 44 if title else 16, "b": 52},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": -0.22, "x": 0, "yanchor": "top"},
        hoverlabel={"namelength": -1},
        **layout,
    )
    axis = {"gridcolor": GRID, "zeroline": False, "showline": True, "linecolor": GRID, "automargin": True}
    figure.update_xaxes(title_text=x_title, **axis)
    figure.update_yaxes(title_text=y_title, **axis)
    return figure
