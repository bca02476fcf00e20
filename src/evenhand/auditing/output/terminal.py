"""An audit in the terminal: the worst groups first, with bars and intervals."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from evenhand.auditing.figures.estimates import Measured
from evenhand.auditing.output import words
from evenhand.auditing.output.sections import Section, interval_heading, sections

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Record = dict[str, Any]
BAR, NARROW_BAR = 14, 8
LONGEST_NAME = 30  # a longer name of a group takes several lines
WIDEST = 100  # columns of a table of groups, however wide the terminal is
MOST_ROWS = 30  # of one crossing; more are counted below it
BLOCKS = ("█", "▒", "·")
ASCII_BLOCKS = ("#", "=", ".")


def text(record: Record, width: int = 100) -> str:
    """The report as plain text."""
    from rich.console import Console

    file = io.StringIO()
    show(record, Console(file=file, width=width, highlight=False, markup=False, emoji=False))
    return file.getvalue()


def show(record: Record, console: Console) -> None:
    """Print the report: what was audited, the groups, what follows from them, what to beware of."""
    from rich.text import Text

    console.print(Text(f"Audit of {record['source']}", style="bold"), soft_wrap=True)
    console.print(Text(words.facts(record), style="dim"))
    for note in (*record["notes"], words.missing(record)):
        if note:
            console.print(Text(note, style="dim"))
    if any(words.below(group, record["overall"]["accuracy"]) for group in (*record["groups"], *record["marginals"])):
        mark = "▼" if _unicode(console) else "v"
        console.print(Text(f"{mark} the whole interval lies below the accuracy of all rows", style="dim"))
    console.print()
    for heading, groups in words.levels(record):
        console.print(_groups(heading, groups, record, console))
        if len(groups) > MOST_ROWS:
            console.print(Text(f"… and {len(groups) - MOST_ROWS} more, better ones; --csv lists all", style="dim"))
        console.print()
    for section in sections(record):
        if section.columns[0] and section.rows:
            console.print(Text(section.title, style="bold"), soft_wrap=True)
        if section.rows:
            console.print(_section(section))
        for note in section.notes:
            console.print(Text(note, style="dim"))
        console.print()
    for warning in record["warnings"]:
        console.print(_warning(warning))
    if record["warnings"]:
        console.print()


def _warning(text: str) -> Table:
    """A paragraph behind a mark, so that its further lines are indented."""
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 1))
    grid.add_row(Text("!", style="bold yellow"), Text(text))
    return grid


def _grid(*headings: str) -> Table:
    """A table of numbers, the first column of which is text that may take several lines."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    for index, heading in enumerate(headings):
        grid.add_column(
            Text(heading), justify="right" if index else "left", no_wrap=index > 0, overflow="fold",
            max_width=LONGEST_NAME if index == 0 else None,
        )  # fmt: skip
    return grid


def _groups(heading: str, groups: list[Record], record: Record, console: Console) -> Table:
    """The groups of one crossing, with as many figures as there is room for."""
    from rich.measure import Measurement

    figures, room = words.shown_figures(record), min(console.width, WIDEST)
    while True:
        grid = _with_figures(heading, groups[:MOST_ROWS], figures, record, console)
        if not figures or Measurement.get(console, console.options.update(width=10_000), grid).maximum <= room:
            return grid
        figures = figures[:-1]


def _with_figures(heading: str, groups: list[Record], figures: list[str], record: Record, console: Console) -> Table:
    from rich.text import Text

    interval, overall = interval_heading(record["confidence"]), record["overall"]["accuracy"]
    grid = _grid(
        heading, "rows", "share", "accuracy".ljust(_bar_width(console)), "", interval, *map(words.title, figures)
    )
    for group in groups:
        grid.add_row(*_cells(words.values_of(group["group"]), group, figures, overall, console))
    if heading == " × ".join(record["columns"]):
        cells = _cells("all rows", {**record["overall"], "group": {}}, figures, overall, console)
        grid.add_section()
        grid.add_row(*(Text(cell.plain, style="dim") for cell in cells))
    return grid


def _cells(name: str, group: Record, figures: list[str], overall: Measured, console: Console) -> list[Text]:
    from rich.text import Text

    accuracy = group["accuracy"]
    low = bool(group["group"]) and words.below(group, overall)
    mark = ("▼ " if _unicode(console) else "v ") if low else ""
    return [
        Text(name, style="bold" if low else ""),
        Text(words.rows(group["count"])),
        Text(f"{group['share']:.1%}"),
        Text(_bar(accuracy, console), style="red" if low else "cyan"),
        Text(mark + words.number("accuracy", accuracy), style="bold red" if low else ""),
        Text(words.span("accuracy", accuracy), style="dim"),
        *(Text(words.number(figure, group[figure])) for figure in figures),
    ]


def _bar_width(console: Console) -> int:
    return BAR if console.width >= WIDEST else NARROW_BAR


def _bar(measured: Measured, console: Console) -> str:
    """Full up to the lower end of the interval, grey to its upper end."""
    width = _bar_width(console)
    full, maybe, none = BLOCKS if _unicode(console) else ASCII_BLOCKS
    if math.isnan(measured):
        return none * width
    low, high = round(measured.low * width), max(round(measured.high * width), round(measured * width))
    low = min(low, max(0, high - 1)) if measured.high - measured.low > 0.5 / width else round(measured * width)
    return full * low + maybe * (max(high, low) - low) + none * (width - max(high, low))


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _section(section: Section) -> Table:
    from rich.text import Text

    grid = _grid(section.columns[0] or section.title, *section.columns[1:])
    for index, row in enumerate(section.rows):
        grid.add_row(*(Text(cell, style="bold" if index in section.stressed else "") for cell in row))
    return grid
