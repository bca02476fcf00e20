"""Figures as files: PNG and SVG for papers, HTML and JSON for the screen."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go

from evenhand.errors import BadInput, RunFailed, unknown
from evenhand.files import write_atomically

FORMATS = ("html", "json", "png", "svg")
DRAWN = ("png", "svg")  # by a browser


def save(
    figure: go.Figure, path: Path, *, width: int | None = None, height: int | None = None, scale: float = 2.0
) -> Path:
    """Write a figure in the format that the name ends in, complete or not at all.

    Pictures have a white ground; their size is in CSS pixels, by default that of the figure's layout or else 760 by
    460, and a PNG has `scale` times as many.

    Raises:
        BadInput: no such format, or, for pictures, kaleido or a Chrome or Chromium to draw them is not installed.
        RunFailed: the file cannot be written, or the browser failed.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise unknown("format of a figure", kind, FORMATS)
    if kind in DRAWN:
        size = width or figure.layout.width or 760, height or figure.layout.height or 460
        content = _picture(figure, kind, *size, scale)
    elif kind == "html":
        content = figure.to_html(include_plotlyjs=True, full_html=True).encode()
    else:
        content = figure.to_json().encode()
    write_atomically(path, content)
    return path


def _picture(figure: go.Figure, kind: str, width: int, height: int, scale: float) -> bytes:
    try:
        import kaleido
    except ImportError as error:
        raise BadInput("a figure as PNG or SVG needs kaleido: pip install 'evenhand[plots]'") from error
    white = go.Figure(figure).update_layout(paper_bgcolor="white", plot_bgcolor="white")
    options = {"format": kind, "width": width, "height": height, "scale": scale if kind == "png" else 1}
    try:
        drawn: bytes = kaleido.calc_fig_sync(white, opts=options)
    except Exception as error:
        if "ChromeNotFound" in type(error).__name__:
            raise BadInput(
                "a figure as PNG or SVG is drawn by Chrome or Chromium, and none is installed here; "
                "write it as .html instead"
            ) from error
        raise RunFailed(f"the browser could not draw the figure: {type(error).__name__}: {error}") from error
    return drawn
