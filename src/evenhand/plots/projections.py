"""Projected features: a point for each row, panels side by side, coloured by class, by group or by error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import plotly.graph_objects as go

from .basic import Numbers
from .style import GRID, SYMBOLS, blank, colour

RIGHT, WRONG = "predicted right", "predicted wrong"
GAP_ACROSS, GAP_DOWN = 0.04, 0.1  # between panels, in shares of the figure; headings are in the gap above


def projections(
    panels: Mapping[str, tuple[Numbers, Numbers]],
    kinds: Mapping[str, Sequence[str]],
    *,
    order: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
    columns: int = 0,
    size: float = 5,
    **titles: Any,
) -> go.Figure:
    """Points (x, y) in a panel for each name, each kind of row with a colour and a symbol of its own.

    Axes have no scale: only which points are near which says something. One unit is as long across as it is up. Rarer
    kinds are drawn above more frequent ones.

    Args:
        kinds: for each panel the kind of each point, such as its group.
        order: of the kinds in the legend, which gives them their colours; by default as they come.
        notes: a line below the heading of a panel, such as its trustworthiness.
        columns: panels beside each other; 0 puts all in one row. A panel without a name has no heading.
        titles: `title`, and the layout of Plotly.
    """
    figure = blank(**titles)
    columns = columns or max(len(panels), 1)
    order = list(order) or list(dict.fromkeys(kind for each in kinds.values() for kind in each))
    shown: set[str] = set()
    for place, (name, (x, y)) in enumerate(panels.items()):
        number = str(place + 1) if place else ""  # as Plotly calls axes
        _axes(figure, number, _domain(place, columns, ceil(len(panels) / columns)), name, (notes or {}).get(name, ""))
        rows_of = _rows_of(kinds[name])
        for kind in sorted(rows_of, key=lambda kind: -len(rows_of[kind])):
            rows = rows_of[kind]
            figure.add_scatter(
                x=[x[row] for row in rows], y=[y[row] for row in rows], xaxis=f"x{number}", yaxis=f"y{number}",
                mode="markers", name=kind, legendgroup=kind, legendrank=order.index(kind) + 1,
                showlegend=kind not in shown, marker=_marker(order.index(kind), kind, size),
                hovertemplate=f"{kind}<extra></extra>",
            )  # fmt: skip
            shown.add(kind)
    figure.update_layout(
        showlegend=True,
        margin={"l": 16, "t": 36 * (bool(titles.get("title")) + any(panels)) or 8, "b": 16},
        legend={"y": -0.02, "itemsizing": "constant"},
    )
    return figure


def by_error(wrong: Sequence[bool]) -> list[str]:
    """The kind of each row in a figure coloured by error."""
    return [WRONG if each else RIGHT for each in wrong]


def _rows_of(kinds: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {kind: [] for kind in Counter(kinds)}
    for row, kind in enumerate(kinds):
        rows[kind].append(row)
    return rows


def _domain(place: int, columns: int, n_rows: int) -> tuple[list[float], list[float]]:
    """Where a panel is, from the left and from below, in shares of the figure."""
    row, column = divmod(place, columns)
    wide, high = (1 - GAP_ACROSS * (columns - 1)) / columns, (1 - GAP_DOWN * (n_rows - 1)) / n_rows
    left, top = column * (wide + GAP_ACROSS), 1 - row * (high + GAP_DOWN)
    return [left, left + wide], [max(top - high, 0), top]


def _axes(figure: go.Figure, number: str, domain: tuple[list[float], list[float]], name: str, note: str) -> None:
    """A framed panel without ticks, with its heading above it."""
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "showline": True, "mirror": True,
            "linecolor": GRID, "ticks": "", "automargin": False}  # fmt: skip
    across, up = domain
    figure.update_layout({
        f"xaxis{number}": {**bare, "domain": across, "anchor": f"y{number}"},
        f"yaxis{number}": {**bare, "domain": up, "anchor": f"x{number}", "scaleanchor": f"x{number}"},
    })  # fmt: skip
    if not name:
        return
    text = f"<b>{name}</b>" + (f"  <span style='font-size:0.85em'>{note}</span>" if note else "")
    figure.add_annotation(
        text=text,
        x=across[0],
        y=up[1],
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
    )


def _marker(number: int, kind: str, size: float) -> dict[str, Any]:
    if kind == RIGHT:  # what is not the point of the figure stays back
        return {"color": "rgba(128,128,128,0.45)", "symbol": "circle", "size": 0.8 * size}
    # Where there are more kinds than colours, another symbol goes with the same colour.
    symbol = SYMBOLS[(number + number // len(SYMBOLS)) % len(SYMBOLS)]
    return {"color": colour(number), "symbol": symbol, "size": size, "opacity": 0.75,
            "line": {"width": 0.4, "color": "white"}}  # fmt: skip
