"""Figures of papers: `study/figures/NAME.py` measures and draws what a file of `papers` asks for by `figure = "NAME"`.

Each module holds

    measured(found: StudyReproduction, settings: Mapping[str, Any]) -> dict    plain values: all that is shown, and no
                                                                              more is needed to draw it again
    drawn(record) -> dict[str, go.Figure]                                      a figure for each panel, by its name
    tables(record) -> list[Table]                                              the numbers behind the panels
    findings(record) -> list[str]                                              what the paper says of its figure, and
                                                                              whether it holds here, a sentence each
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evenhand import by_name
from evenhand.errors import unknown

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from evenhand.study.reproduction import StudyReproduction
    from evenhand.study.tables import Table


def names() -> tuple[str, ...]:
    """The names of all kinds of figures."""
    return by_name.names(__name__)


def measured(kind: str, found: StudyReproduction, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a figure; `settings` are those below `[figure_options]` in the file.

    Raises:
        BadInput: no such kind, or the runs lack what it shows.
    """
    record: dict[str, Any] = _module(kind).measured(found, settings)
    return {"kind": kind, **record}


def drawn(record: Mapping[str, Any]) -> dict[str, go.Figure]:
    """The panels of a figure, by name."""
    panels: dict[str, go.Figure] = _module(record["kind"]).drawn(record)
    return panels


def tables(record: Mapping[str, Any]) -> list[Table]:
    """The numbers behind the panels."""
    shown: list[Table] = _module(record["kind"]).tables(record)
    return shown


def findings(record: Mapping[str, Any]) -> list[str]:
    """What the figure shows here, a sentence each."""
    lines: list[str] = _module(record["kind"]).findings(record)
    return lines


def _module(kind: str) -> Any:
    if kind not in names():
        raise unknown("figure", kind, names())
    return import_module(f"{__name__}.{kind}")
