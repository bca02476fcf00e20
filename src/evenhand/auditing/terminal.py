"""An audit in the terminal: the worst groups first, with bars and intervals."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from evenhand.auditing import cautions, values, words
from evenhand.auditing.estimates import Measured

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Record = dict[str, Any]
BAR = 14
LONGEST_NAME = 30  # a longer name of a group takes several lines
MOST_ROWS = 30  # of one crossing; more are counted below it
MOST_CLASSES = 10
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
    if record["positive"] is None:
        console.print(_classes(record, console))
        console.print()
    console.print(_headlines(record))
    if "against" in record:
        console.print()
        console.print(_against(record["against"]))
    if "slices" in record:
        console.print()
        _slices(record["slices"], console)
    for warning in record["warnings"]:
        console.print(Text.assemble(("! ", "bold yellow"), warning))


def _grid(*headings: str, wraps: int = 0) -> Table:
    """A table of numbers; the first column is text, and so is the column `wraps`, which may take several lines."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    for index, heading in enumerate(headings):
        grid.add_column(
            Text(heading), justify="left" if index in (0, wraps) else "right", no_wrap=index != wraps, overflow="fold",
            max_width=LONGEST_NAME if index == 0 else None,
        )  # fmt: skip
    return grid


def _groups(heading: str, groups: list[Record], record: Record, console: Console) -> Table:
    """The groups of one crossing, with as many figures as there is room for."""
    from rich.measure import Measurement

    figures = words.shown_figures(record)
    while True:
        grid = _with_figures(heading, groups[:MOST_ROWS], figures, record, console)
        if not figures or Measurement.get(console, console.options.update(width=10_000), grid).maximum <= console.width:
            return grid
        figures = figures[:-1]


def _with_figures(heading: str, groups: list[Record], figures: list[str], record: Record, console: Console) -> Table:
    from rich.text import Text

    interval, overall = f"{record['confidence']:.0%} interval", record["overall"]["accuracy"]
    bar_heading = "accuracy" + " " * (BAR - 8)
    grid = _grid(heading, "rows", "share", bar_heading, "", interval, *map(words.title, figures))
    for group in groups:
        grid.add_row(*_cells(_name(group["group"]), group, figures, overall, console))
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


def _name(group: Record) -> str:
    return " · ".join(values.written(value) for value in group.values())


def _bar(measured: Measured, console: Console) -> str:
    """Full up to the lower end of the interval, grey to its upper end."""
    full, maybe, none = BLOCKS if _unicode(console) else ASCII_BLOCKS
    if math.isnan(measured):
        return none * BAR
    low, high = round(measured.low * BAR), max(round(measured.high * BAR), round(measured * BAR))
    low = min(low, max(0, high - 1)) if measured.high - measured.low > 0.5 / BAR else round(measured * BAR)
    return full * low + maybe * (max(high, low) - low) + none * (BAR - max(high, low))


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _classes(record: Record, console: Console) -> Table:
    from rich.text import Text

    grid = _grid("class", "rows", "third", "accuracy" + " " * (BAR - 8), "", "precision", "F1")
    for one in record["by_class"][:MOST_CLASSES]:
        grid.add_row(
            Text(values.written(one["class"])),
            Text(words.rows(one["count"])),
            Text(one.get("third", "")),
            Text(_bar(one["accuracy"], console), style="cyan"),
            *(Text(words.number(name, one[name])) for name in ("accuracy", "precision", "f1")),
        )
    if len(record["by_class"]) > MOST_CLASSES:
        grid.caption = f"… and {len(record['by_class']) - MOST_CLASSES} more classes with higher accuracy"
    return grid


def _headlines(record: Record) -> Table:
    from rich.text import Text

    grid = _grid("", "", f"{record['confidence']:.0%} interval", "", wraps=3)
    worst = record["worst"]
    for name in words.HEADLINES:
        measured = record["overall"][name]
        about = ""
        if name == "worst_group_accuracy" and worst is not None:
            about = f"{cautions.name_of(worst['group'])} ({words.rows(worst['count'])} rows)"
        row = (words.plainly(name), words.number(name, measured), words.span(name, measured))
        grid.add_row(*(Text(cell) for cell in row), Text(about, style="dim"))
    return grid


def _against(other: Record) -> Table:
    """Who is better or worse served than by the other predictions; significant after Holm's correction: marked."""
    from rich.text import Text

    grid = _grid(f"against {other['source']}", "rows", "other", "this", "difference", "interval", "p (Holm)")
    for row in (*other["groups"], {"group": {}, **other["overall"]}):
        significant = row["p_adjusted"] < 0.05
        style = ("bold red" if row["difference"] < 0 else "bold green") if significant else ""
        cells = [words.number("accuracy", row[name]) for name in ("accuracy_against", "accuracy")]
        grid.add_row(
            Text(_name(row["group"]) or "all rows"),
            Text(words.rows(row["count"])),
            *map(Text, cells),
            Text(words.points(row["difference"]), style=style),
            Text(f"{words.points(row['low'])} to {words.points(row['high'])}", style="dim"),
            Text(words.p_value(row["p_adjusted"])),
        )
    return grid


def _slices(found: Record, console: Console) -> None:
    """The worst slices, and how many were looked at."""
    from rich.text import Text

    grid = _grid("worst slices", "rows", "error", "interval", "rest", "q")
    for one in found["found"][:MOST_CLASSES]:
        error = Measured(one["value"], one["low"], one["high"])
        numbers = [words.number("error", error), words.span("error", error), words.number("error", one["rest"])]
        name = cautions.name_of(one["conditions"])
        grid.add_row(*map(Text, (name, words.rows(one["size"]), *numbers, words.p_value(one["q_value"]))))
    if found["found"]:
        console.print(grid)
    else:
        console.print(Text("no slice is served worse than the rest", style="bold"))
    about = (
        f"{words.rows(found['examined'])} slices seen in one half of the rows, {found['tested']} tested on the other"
    )
    console.print(Text(about, style="dim"))
    if found["skipped"]:
        console.print(Text(f"not searched: {', '.join(found['skipped'])}", style="dim"))
