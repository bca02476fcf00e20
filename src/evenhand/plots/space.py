"""Means of groups and classes and the classifier's vectors as arrows in space, to be turned round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from .style import INK, blank, colour

Floats = NDArray[np.float64]
Vector = Mapping[str, Any]

MOST_NAMED = 12  # vectors; with more the legend has an entry for each class and each kind
EYE = (0.55, -1.75, 0.75)  # from the flattest side, turned a little and from above, so that depth is seen
ZOOM = 1.6
FLATTEST = 0.45  # of the widest extent, that the scene has along every axis at least
TIP = 0.09  # of a classifier vector, as a share of the scene

# The line's dash and width, the marker's symbol and size.
LOOKS = {
    "majority mean": ("solid", 5, "circle", 8),
    "minority mean": ("dash", 6, "circle-open", 9),
    "group mean": ("longdash", 5, "diamond-open", 8),
    "class mean": ("dot", 5, "square", 5),
    "classifier vector": ("solid", 10, None, 0),
}


def space(
    vectors: Sequence[Vector],
    *,
    majority: Mapping[int, int] | None = None,
    title: str = "",
    turn: float = 0.0,
    zoom: float = ZOOM,
) -> go.Figure:
    """Arrows from the origin, in the colour of their class: means end in a marker, classifier vectors in a cone.

    The mean of a class's largest group has a filled marker, of its smallest an open one. The scene is turned as a whole
    (or mirrored), which changes no angle and no length: the vectors reach furthest from left to right, least in depth.

    Args:
        vectors: those of `geometry.json` or like them: `kind` ("group_mean", "class_mean", "weight"), `name`, `class`,
            `attribute` (None but for groups), `count` of rows, `xyz`.
        majority: the attribute value of each class's largest group, where it is not that of the largest `count`.
        turn: degrees by which the camera goes round the vertical.
        zoom: how large the scene is; a figure that is higher than wide needs less than the default.
    """
    figure = blank(title)
    ranks = _ranks(vectors, majority)
    looks = [_look(vector, ranks) for vector in vectors]
    tip_V3 = _upright(np.array([vector["xyz"] for vector in vectors], dtype=float).reshape(-1, 3))
    with_origin = np.vstack([tip_V3, np.zeros(3)])
    low_3, high_3 = with_origin.min(0), with_origin.max(0)
    side = float((high_3 - low_3).max()) or 1.0
    named = len(vectors) <= MOST_NAMED
    for vector, look, tip_3 in zip(vectors, looks, tip_V3, strict=True):
        _draw(figure, vector, look, tip_3, side, named=named)
    if not named:
        _explain(figure, vectors, looks)
    figure.add_scatter3d(
        x=[0], y=[0], z=[0], mode="markers", marker={"color": INK, "size": 3}, showlegend=False,
        hovertemplate="origin<extra></extra>",
    )  # fmt: skip
    _frame(figure, low_3, high_3, turn, zoom)
    return figure


def _ranks(vectors: Sequence[Vector], majority: Mapping[int, int] | None) -> dict[tuple[int, int], str]:
    """The look of each group's mean, by class and attribute value; equally large: the first is the largest."""
    groups = [vector for vector in vectors if vector["kind"] == "group_mean"]
    found = {}
    for c in {vector["class"] for vector in groups}:
        own = sorted((v for v in groups if v["class"] == c), key=lambda v: (-v["count"], v["attribute"]))
        if majority is not None:
            own.sort(key=lambda v: v["attribute"] != majority.get(c))
        for place, vector in enumerate(own):
            name = "majority mean" if place == 0 else "minority mean" if place == len(own) - 1 else "group mean"
            found[c, vector["attribute"]] = name
    return found


def _look(vector: Vector, ranks: Mapping[tuple[int, int], str]) -> str:
    if vector["kind"] == "group_mean":
        return ranks[vector["class"], vector["attribute"]]
    return "class mean" if vector["kind"] == "class_mean" else "classifier vector"


def _draw(figure: go.Figure, vector: Vector, look: str, tip_3: Floats, side: float, *, named: bool) -> None:
    dash, width, symbol, size = LOOKS[look]
    shade, name, length = colour(vector["class"]), _plain(vector["name"]), float(np.linalg.norm(tip_3))
    same = {
        "name": f"{name}: {look}", "legendgroup": f"{name} {look}",
        "hovertemplate": f"{name}<br>{look}, length {length:.3g}<extra></extra>",
    }  # fmt: skip
    cone = min(TIP * side, 0.5 * length) if symbol is None else 0.0
    end_3 = tip_3 * (1 - cone / length) if length else tip_3  # where a cone begins
    figure.add_scatter3d(
        **{axis: [0.0, float(value)] for axis, value in zip("xyz", end_3, strict=True)}, mode="lines",
        line={"color": shade, "width": width, "dash": dash}, showlegend=named and symbol is None, **same,
    )  # fmt: skip
    if symbol:
        figure.add_scatter3d(
            **{axis: [float(value)] for axis, value in zip("xyz", tip_3, strict=True)}, mode="markers",
            marker={"color": shade, "symbol": symbol, "size": size, "opacity": 1, "line": {"color": shade, "width": 1}},
            showlegend=named, **same,
        )  # fmt: skip
    elif length:
        figure.add_cone(
            **{axis: [float(value)] for axis, value in zip("xyz", tip_3, strict=True)},
            **{axis: [float(value) / length] for axis, value in zip("uvw", tip_3, strict=True)},
            anchor="tip", sizemode="absolute", sizeref=cone, colorscale=[[0, shade], [1, shade]], showscale=False,
            hoverinfo="skip", legendgroup=same["legendgroup"],
        )  # fmt: skip


def _explain(figure: go.Figure, vectors: Sequence[Vector], looks: Sequence[str]) -> None:
    """Entries of the legend for classes and kinds, which stand for no vector of their own."""
    names = {v["class"]: _plain(v["name"]) for v in vectors if v["kind"] != "group_mean"}
    for c in sorted({vector["class"] for vector in vectors}):
        figure.add_scatter3d(
            x=[None], y=[None], z=[None], mode="lines", name=names.get(c, f"class {c}"),
            line={"color": colour(c), "width": 6},
        )  # fmt: skip
    for look in (name for name in LOOKS if name in looks):
        _, width, symbol, size = LOOKS[look]
        figure.add_scatter3d(
            x=[None], y=[None], z=[None], mode="markers" if symbol else "lines", name=look,
            line={"color": INK, "width": width}, marker={"color": INK, "symbol": symbol, "size": size},
        )  # fmt: skip


def _upright(tip_V3: Floats) -> Floats:
    """The vectors along their principal axes through 0: the longest is x, the second z (most reach upwards), then y."""
    along_V3 = tip_V3 @ np.linalg.svd(np.vstack([tip_V3, np.zeros((3, 3))]), full_matrices=False)[2].T
    signs_3 = np.where(along_V3.sum(0) < 0, -1.0, 1.0)
    upright_V3: Floats = (along_V3 * signs_3)[:, [0, 2, 1]]
    return upright_V3


def _frame(figure: go.Figure, low_3: Floats, high_3: Floats, turn: float, zoom: float) -> None:
    extent_3 = high_3 - low_3
    widest = float(extent_3.max()) or 1.0
    half_3, centre_3 = 0.54 * np.maximum(extent_3, FLATTEST * widest), (low_3 + high_3) / 2
    axes = {
        f"{axis}axis": {
            "range": [float(centre - half), float(centre + half)], "showbackground": axis == "z",
            "backgroundcolor": "rgba(128,128,128,0.15)", "showspikes": False, "showticklabels": False,
            "gridcolor": "rgba(128,128,128,0.7)", "zerolinecolor": "rgba(128,128,128,0.9)", "nticks": 7,
            "title": {"text": ""},
        }
        for axis, centre, half in zip("xyz", centre_3, half_3, strict=True)
    }  # fmt: skip
    ratio = {axis: float(zoom * 2 * half / (1.08 * widest)) for axis, half in zip("xyz", half_3, strict=True)}
    camera = {"eye": _eye(turn), "up": {"x": 0, "y": 0, "z": 1}, "center": {"x": 0, "y": 0, "z": -0.05}}
    figure.update_layout(
        scene={**axes, "aspectmode": "manual", "aspectratio": ratio, "camera": camera},
        margin={"l": 16, "r": 16, "t": 44 if figure.layout.title.text else 8, "b": 8},
        legend={"orientation": "v", "x": 0.98, "xanchor": "left", "y": 0.5, "yanchor": "middle", "font": {"size": 12}},
        width=940, height=520,
    )  # fmt: skip


def _eye(turn: float) -> dict[str, float]:
    x, y, z = EYE
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return {"x": float(cos * x - sin * y), "y": float(sin * x + cos * y), "z": z}


def _plain(text: Any) -> str:
    return str(text).replace("<", "&lt;").replace("%{", "% {")
