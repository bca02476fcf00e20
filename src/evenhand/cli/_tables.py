"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evenhand.cli._output import console
from evenhand.study.tables import BEST, Table

if TYPE_CHECKING:
    from rich.table import Table as Grid

LEAST_NAME, LEAST_TEXT = 24, 14  # columns that the first text of a row and any other keep, if they are that long
BETWEEN = 3  # columns of the terminal between two of a table


def show(tables: Iterable[Table]) -> None:
    """Print the tables one below the other, each with its notes."""
    for table in tables:
        _show(table)


def _show(table: Table) -> None:
    from rich.text import Text

    screen = console()
    screen.print(Text(table.title, style="bold"))
    for chosen in parts(table, screen.width):
        screen.print(_grid(table, chosen))
    for note in table.notes:
        screen.print(Text(note, style="dim"))
    screen.print()


def parts(table: Table, room: int) -> list[list[int]]:
    """Columns to print side by side: all, or as many as fit, the first being repeated before each further part."""
    found = [[0]]
    for number in range(1, len(table.columns)):
        if sum(least(table, column) + BETWEEN for column in [*found[-1], number]) - BETWEEN > room and found[-1] != [0]:
            found.append([0])
        found[-1].append(number)
    return found


def least(table: Table, column: int) -> int:
    """The width below which a column would lose something: figures are never cut, texts may take several lines."""
    from rich.cells import cell_len

    width = max(cell_len(cell) for cell in (table.columns[column], *(row[column] for row in table.rows)))
    if column not in table.text_columns:
        return width
    return min(width, LEAST_TEXT if column else LEAST_NAME)


def _grid(table: Table, chosen: Sequence[int]) -> Grid:
    """Some columns of the table."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for number in chosen:
        is_text = number in table.text_columns
        grid.add_column(
            Text(table.columns[number]), justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold",
            min_width=least(table, number),
        )  # fmt: skip
    for row in table.rows:
        cells = [row[number] for number in chosen]
        grid.add_row(*(Text(cell, style="bold green" if cell.endswith(BEST) else "") for cell in cells))
    return grid
