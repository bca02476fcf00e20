"""Blocks from what the rest of the package has: tables of text, figures of Plotly, shares with intervals."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.report.blocks import Block, Cell, Chart, Table, Text
from evenhand.study import tables as text_tables

if TYPE_CHECKING:
    import plotly.graph_objects as go

Mark = Any  # of a cell

FIRST_NUMBER = re.compile(r"^[\[<*≈ ]*([-+−]?\d[\d.]*)")
MISSING = "–"


def tabled(table: text_tables.Table, *, folded: bool = False) -> list[Block]:
    """A table of text as a sortable one, and its notes."""
    numeric = tuple(number not in table.text_columns for number in range(len(table.columns)))
    rows = tuple(
        tuple(Cell(text.strip(), number_in(text) if numeric[place] else None) for place, text in enumerate(row))
        for row in table.rows
    )
    made = Table(table.title, tuple(column.strip() for column in table.columns), rows, numeric, folded)
    return [made, *([Text(table.notes, "note")] if table.notes else [])]


def charted(
    title: str, figure: go.Figure, alt: str, table: Table | text_tables.Table | None = None, height: int = 420
) -> Chart:
    """A figure with its numbers behind it; the title is the page's, not the figure's."""
    plain: dict[str, Any] = json.loads(figure.to_json())
    if isinstance(table, text_tables.Table):
        (table,) = (block for block in tabled(table) if isinstance(block, Table))
    return Chart(title, {"data": plain["data"], "layout": plain["layout"]}, alt, table, height)


def share(value: float | None, low: float | None = None, high: float | None = None, mark: Mark = "") -> Cell:
    """A share in [0, 1] in percent; with an interval it is drawn, too."""
    return Cell(percent(value), value, mark, low, high)


def interval(low: float | None, high: float | None) -> Cell:
    """`33.1 to 50.2`, sorted by its lower end."""
    return Cell(MISSING if low is None or high is None else f"{percent(low)} to {percent(high)}", low)


def count(number: int) -> Cell:
    """A number of rows, with narrow spaces between thousands."""
    return Cell(thousands(number), number)


def mean_sd(figure: dict[str, Any] | None, scale: float = 100.0, mark: Mark = "", sign: str = "") -> Cell:
    """`57.93 ± 1.18` from `{"mean", "sd"}`, as tables of papers have it."""
    if figure is None or figure.get("mean") is None:
        return Cell(MISSING)
    spread = "" if figure.get("sd") is None else f" ± {scale * figure['sd']:.2f}"
    return Cell(f"{scale * figure['mean']:.2f}{spread}{sign}", figure["mean"], mark)


def percent(value: float | None) -> str:
    """`57.9`: percent with one decimal, as prose has it."""
    return MISSING if value is None else f"{100 * value:.1f}"


def signed(value: float | None) -> str:
    """`+3.2` percentage points."""
    return MISSING if value is None else f"{100 * value:+.1f}".replace("-", "−")


def thousands(number: int) -> str:
    """`12 345`."""
    return f"{number:,}".replace(",", "\u202f")


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def number_in(text: str) -> float | None:
    """The number that a cell begins with, by which it is sorted."""
    found = FIRST_NUMBER.match(text)
    return None if found is None else float(found[1].replace("−", "-").rstrip("."))
