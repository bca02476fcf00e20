"""A page's plain values as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from evenhand.errors import RunFailed

Values = Mapping[str, Any]

AXIS = 120  # CSS pixels from 0 to 100 % where an interval is drawn


def render(page: Values) -> str:
    """The page as HTML.

    Every text of `page` is escaped. The policy in its head lets it open no connection and run no script but its own
    two, known by their hashes. The script that draws charts is in it compressed, unless there is nothing to draw; where
    it cannot be unpacked, and without scripts, the tables behind the charts are shown.

    Args:
        page: as `Page.as_dict` gives it, or as it is read back from `report.json`.

    Raises:
        RunFailed: there are charts, and the script of Plotly is not installed.
    """
    import jinja2
    from markupsafe import Markup

    numbered, figures = _numbered(page)
    script, style = _template("page.js"), _template("page.css")
    plotly = _plotly() if figures else b""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["place"] = lambda value: f"{AXIS * min(max(value, 0.0), 1.0):.1f}"
    environment.filters["prose"] = lambda text: text.replace(" %", "\u00a0%")
    return environment.from_string(_template("page.html")).render(
        page=numbered,
        policy=_policy(script.encode(), plotly),
        style=Markup(style),
        script=Markup(script),
        figures=Markup(_json_in_page(figures)) if figures else "",
        plotly=Markup(base64.b64encode(gzip.compress(plotly, 6, mtime=0)).decode()),
        version=version("evenhand"),
    )


def _template(name: str) -> str:
    return (files("evenhand.report") / "templates" / name).read_text(encoding="utf-8")


def _plotly() -> bytes:
    """The script that draws charts, from the installed Plotly."""
    try:
        script = files("plotly") / "package_data" / "plotly.min.js"
        text = script.read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise RunFailed(
            f"the charts of a page need the script that comes with plotly, and it is not there: {error}"
        ) from error
    return text.replace("\r\n", "\n").encode()  # as the browser reads it


def _policy(*scripts: bytes) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def _json_in_page(value: Any) -> str:
    """JSON that cannot end the element that it is in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _numbered(page: Values) -> tuple[dict[str, Any], list[Values]]:
    """The page with a number in place of each chart's figure, and the figures in that order."""
    figures: list[Values] = []

    def replaced(block: Values) -> dict[str, Any]:
        if block["kind"] == "charts":
            return {**block, "charts": [replaced(chart) for chart in block["charts"]]}
        if block["kind"] != "chart":
            return dict(block)
        figures.append(block["figure"])
        return {**block, "figure": None, "number": len(figures) - 1}

    sections = [{**one, "blocks": [replaced(block) for block in one["blocks"]]} for one in page["sections"]]
    return {**page, "sections": sections}, figures
