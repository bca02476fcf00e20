"""Blocks from what the rest of the package has: tables of text, figures of Plotly, shares with intervals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.report.blocks import Block, Cell, Chart, Mark, Table, Text
from evenhand.study.tables import Table as TextTable
from evenhand.study.tables import p_value as of_p

if TYPE_CHECKING:
    import plotly.graph_objects as go

FIRST_NUMBER = re.compile(r"^[\[<*≈ ]*([-+−]?\d[\d.]*)")
MISSING = "–"
MOST_ROWS = 50  # of a table by epoch
LEGEND_LINE = 80  # characters


def tabled(table: TextTable, *, folded: bool = False) -> list[Block]:
    """A table of text as a sortable one, and its notes."""
    numeric = tuple(number not in table.text_columns for number in range(len(table.columns)))
    rows = tuple(
        tuple(Cell(text.strip(), number_in(text) if numeric[place] else None) for place, text in enumerate(row))
        for row in table.rows
    )
    made = Table(table.title, tuple(column.strip() for column in table.columns), rows, numeric, folded)
    return [made, *([Text(table.notes, "note")] if table.notes else [])]


def charted(
    title: str, figure: go.Figure, alt: str, table: Table | TextTable | None = None, height: int = 420
) -> Chart:
    """A figure with its numbers behind it; the title is the page's, not the figure's."""
    plain: dict[str, Any] = json.loads(figure.to_json())
    if isinstance(table, TextTable):
        (table,) = (block for block in tabled(table) if isinstance(block, Table))
    return Chart(title, {"data": plain["data"], "layout": plain["layout"]}, alt, table, height)


def room(labels: Iterable[str], height: int) -> int:
    """The height of a chart that has such a legend below it, so that the drawing keeps its own."""
    return height + 22 * (sum(len(label) + 7 for label in labels) // LEGEND_LINE)


def share(value: float | None, low: float | None = None, high: float | None = None, mark: Mark = "") -> Cell:
    """A share in [0, 1] in percent; with an interval it is drawn, too."""
    return Cell(percent(value), value, mark, low, high)


def interval(low: float | None, high: float | None) -> Cell:
    """`33.1 to 50.2`, sorted by its lower end."""
    return Cell(MISSING if low is None or high is None else f"{percent(low)} to {percent(high)}", low)


def count(number: int) -> Cell:
    """A number of rows, with narrow spaces between thousands."""
    return Cell(thousands(number), number)


def mean_sd(figure: Mapping[str, Any] | None, scale: float = 100.0, mark: Mark = "", sign: str = "") -> Cell:
    """`57.93 ± 1.18` from `{"mean", "sd"}`, as tables of papers have it."""
    if figure is None or figure.get("mean") is None:
        return Cell(MISSING)
    spread = "" if figure.get("sd") is None else f" ± {scale * figure['sd']:.2f}"
    return Cell(f"{scale * figure['mean']:.2f}{spread}{sign}", figure["mean"], mark)


def percent(value: float | None) -> str:
    """`57.9`: percent with one decimal, as prose has it."""
    return MISSING if value is None else f"{100 * value:.1f}"


def points(value: float | None, limit: float | None = None) -> str:
    """`+3.25` percentage points; with a limit, such as 1 or -1, what lies beyond it is impossible and cut."""
    if value is None:
        return MISSING
    if limit is not None:
        value = min(value, limit) if limit > 0 else max(value, limit)
    return f"{100 * value:+.2f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """`0.031`, `<0.001`."""
    return MISSING if value is None else of_p(value)


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


def by_epoch(caption: str, curves: Mapping[str, Sequence[float | None]], decimals: int = 1) -> Table:
    """A row for each epoch, a column for each curve; of many epochs evenly spaced ones, and the last."""
    length = max((len(curve) for curve in curves.values()), default=0)
    step = -(-length // MOST_ROWS) or 1
    shown = sorted({*range(0, length, step), length - 1}) if length else []
    rows = tuple(
        (
            Cell(str(at + 1), at + 1),
            *(_number(curve[at] if at < len(curve) else None, decimals) for curve in curves.values()),
        )
        for at in shown
    )
    some = f", every {step} epochs" if step > 1 else ""
    return Table(caption + some, ("epoch", *curves), rows, (True, *(True for _ in curves)))


def _number(value: float | None, decimals: int) -> Cell:
    return Cell(MISSING if value is None else f"{value:.{decimals}f}", value)
