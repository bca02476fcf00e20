"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from evenhand.cli._output import console
from evenhand.study.tables import BEST, Table


def show(tables: Iterable[Table]) -> None:
    """Print the tables one below the other, each with its notes."""
    for table in tables:
        _show(table)


def _show(table: Table) -> None:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for number, name in enumerate(table.columns):
        is_text = number in table.text_columns
        grid.add_column(Text(name), justify="left" if is_text else "right", no_wrap=not is_text)
    for row in table.rows:
        grid.add_row(*(Text(cell, style="bold green" if cell.endswith(BEST) else "") for cell in row))
    screen = console()
    screen.print(Text(table.title, style="bold"))
    screen.print(grid)
    for note in table.notes:
        screen.print(Text(note, style="dim"))
    screen.print()
