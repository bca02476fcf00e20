"""Means of groups and classes and rows of the classifier as arrows in space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from evenhand.plots.style import GRID, blank, colour

LOOK = {
    "group_mean": {"dash": "solid", "width": 4, "symbol": "circle", "size": 5},
    "class_mean": {"dash": "solid", "width": 7, "symbol": "diamond", "size": 6},
    "weight": {"dash": "dot", "width": 5, "symbol": "square", "size": 4},
}
EYE = {"x": 1.35, "y": 1.35, "z": 0.75}


def space(vectors: Sequence[Mapping[str, Any]]) -> go.Figure:
    """An arrow from the origin to each vector, in the colour of its class."""
    figure = blank()
    for vector in vectors:
        look = LOOK.get(vector["kind"], LOOK["group_mean"])
        x, y, z = ([0.0, value] for value in vector["xyz"])
        figure.add_scatter3d(
            x=x, y=y, z=z, mode="lines+markers", name=str(vector["name"]), showlegend=False,
            line={"color": colour(vector["class"]), "width": look["width"], "dash": look["dash"]},
            marker={"color": colour(vector["class"]), "symbol": look["symbol"], "size": [0, look["size"]]},
            hovertemplate=f"{_plain(vector['name'])}<extra>{vector['kind'].replace('_', ' ')}</extra>",
        )  # fmt: skip
    reach = 1.05 * max((abs(value) for vector in vectors for value in vector["xyz"]), default=1.0)
    axis = {
        "showbackground": False, "showspikes": False, "showticklabels": False, "title": {"text": ""},
        "gridcolor": GRID, "zerolinecolor": GRID, "range": [-reach, reach], "nticks": 5,
    }  # fmt: skip
    figure.update_layout(
        scene={"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "cube", "camera": {"eye": EYE}},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
    )  # fmt: skip
    return figure


def _plain(text: str) -> str:
    return str(text).replace("<", "&lt;").replace("%{", "% {")
