"""What decides: the strength of columns by group, what is lost when they are shuffled, and the words of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from .basic import Numbers, bars
from .style import blank, colour

FOR, AGAINST = 0, 1  # numbers of colours
SIGNS = {FOR: "speaks for the class", AGAINST: "speaks against it (underlined)"}
CHARACTER, LINE = 8.2, 30  # CSS pixels: width of a letter of the fixed-width font, height of a line
FONT = {"family": "'DejaVu Sans Mono', 'Liberation Mono', Consolas, monospace", "size": 13}
BAR = 15  # CSS pixels


def strengths(names: Sequence[str], by_group: Mapping[str, Numbers], *, most: int = 12, **titles: Any) -> go.Figure:
    """A bar for each column and group: the mean absolute score, strongest columns first.

    Args:
        names: of the F columns.
        by_group: of each group F numbers, None or NaN where it has no rows.
        most: columns shown, by their mean over groups; that there are more is said below.
        titles: `title`, `x_title`, and the layout of Plotly.
    """
    return _ranked(names, by_group, None, most, {"x_title": "mean |score|, in units of the logit", **titles})


def losses(
    names: Sequence[str], lost: Numbers, spread: Numbers | None = None, *, most: int = 12, **titles: Any
) -> go.Figure:
    """A bar for each column: the worst group's accuracy lost when the column is shuffled, largest loss first.

    Args:
        lost: of each column, in [-1, 1].
        spread: standard deviations over repeats, drawn to both sides.
        most, titles: as `strengths`.
    """
    percent = [None if value is None else 100 * value for value in lost]
    deviation = None if spread is None else [100 * (value or 0.0) for value in spread]
    titles = {"x_title": "worst-group accuracy lost, percentage points", **titles}
    return _ranked(names, {"": percent}, deviation, most, titles)


def words(texts: Sequence[str], scores: Sequence[float], *, across: int = 84, **titles: Any) -> go.Figure:
    """A text, each word on a ground in the colour of its sign, the fuller the larger its score is.

    Args:
        texts: the words, in order.
        scores: one for each; the largest is fully coloured.
        across: letters in a line.
        titles: `title`, and the layout of Plotly.
    """
    places, n_lines = _places(texts, across)
    heading = 44 if titles.get("title") else 8
    figure = blank(**{"width": int(across * CHARACTER) + 32, "height": heading + n_lines * LINE + 52, **titles})
    bare = {"visible": False, "fixedrange": True}
    figure.update_xaxes(range=[0, across], **bare)
    figure.update_yaxes(range=[n_lines, 0], **bare)
    largest = max((abs(score) for score in scores), default=0) or 1.0
    for (line, start), text, score in zip(places, texts, scores, strict=True):
        if score:
            figure.add_shape(
                type="rect", x0=start - 0.35, x1=start + min(len(text), across) + 0.35, y0=line + 0.1, y1=line + 0.9,
                fillcolor=colour(AGAINST if score < 0 else FOR, round(0.08 + 0.52 * abs(score) / largest, 3)),
                line={"width": 0}, layer="below",
            )  # fmt: skip
    figure.add_scatter(
        x=[start for _, start in places], y=[line + 0.5 for line, _ in places], mode="text", textfont=FONT,
        textposition="middle right", text=[_written(*pair, across) for pair in zip(texts, scores, strict=True)],
        hovertext=[f"{score:+.3f}" for score in scores], hoverinfo="text", showlegend=False, cliponaxis=False,
    )  # fmt: skip
    for number, name in SIGNS.items():
        marker = {"color": colour(number, 0.6), "symbol": "square", "size": 12}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    figure.update_layout(
        margin={"l": 16, "r": 16, "t": heading, "b": 44},
        legend={"y": 0, "yref": "container", "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
    )
    return figure


def _ranked(
    names: Sequence[str],
    series: Mapping[str, Numbers],
    spread: Sequence[float] | None,
    most: int,
    titles: Mapping[str, Any],
) -> go.Figure:
    """Horizontal bars of the columns with the largest means over the series, the largest at the top."""
    mean = [_mean([values[place] for values in series.values()]) for place in range(len(names))]
    chosen = sorted(range(len(names)), key=lambda place: -mean[place])[:most]
    shown = {label: [values[place] for place in chosen] for label, values in series.items()}
    intervals = None
    if spread is not None:
        intervals = {label: _around(values, [spread[place] for place in chosen]) for label, values in shown.items()}
    below = 62 + 22 * -(-len(series) // 2) * (len(series) > 1)
    height = 60 + below + len(chosen) * (10 + BAR * len(series))
    figure = bars(shown, [names[place] for place in chosen], intervals=intervals, horizontal=True,
                  **{"height": height, **titles})  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, ticklen=4, tickcolor="rgba(0,0,0,0)")
    figure.update_xaxes(zeroline=True, zerolinecolor="rgba(128,128,128,0.6)", title_font_size=13)
    figure.update_layout(
        margin={"b": below}, legend={"y": 0, "yref": "container", "yanchor": "bottom", "traceorder": "normal"}
    )
    if len(names) > most:
        more = f"of {len(names)} columns the {most} largest"
        figure.update_xaxes(title_text=f"{titles['x_title']}; {more}")
    return figure


def _around(values: Numbers, spread: Sequence[float]) -> tuple[Numbers, Numbers]:
    """A standard deviation below and above each value."""
    low, high = (
        [None if value is None else value + side * wide for value, wide in zip(values, spread, strict=True)]
        for side in (-1, 1)
    )
    return low, high


def _mean(values: Sequence[float | None]) -> float:
    """Of the numbers among them; -inf where there is none."""
    known = [value for value in values if value is not None and value == value]  # noqa: PLR0124 -- NaN
    return sum(known) / len(known) if known else float("-inf")


def _places(texts: Sequence[str], across: int) -> tuple[list[tuple[int, int]], int]:
    """The line and the letter in it where each word begins, and how many lines there are."""
    found, line, at = [], 0, 0
    for text in texts:
        wide = min(len(text), across)
        if at and at + wide > across:
            line, at = line + 1, 0
        found.append((line, at))
        at += wide + 1
    return found, line + 1


def _written(text: str, score: float, across: int) -> str:
    """The word as Plotly's text, cut to a line."""
    cut = text if len(text) <= across else f"{text[: across - 1]}…"
    plain = cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<u>{plain}</u>" if score < 0 else plain
