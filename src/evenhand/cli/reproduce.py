"""`evenhand reproduce`: a paper's table beside our numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli._arguments import Json, Root, Workers
from evenhand.cli._output import check_writable, item, say, write_result

if TYPE_CHECKING:
    from evenhand.study.reproduction import Reproduction


def reproduce(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Which table; without it they are listed.")
    ] = None,
    *,
    root: Root = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where run folders are kept and reused; default runs/DATA, shared by tables."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="Repeat the study on another data set, or on your own TOML file.")
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="full|small", help="small: fewer epochs and seeds, for a look.")
    ] = "full",
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Seeds 0 to N-1; default as in the paper.")] = None,
    workers: Workers = None,
    json: Json = None,
) -> int:
    """Repeat a paper's table, its figures beside ours.

    Trains what is missing and says which of the paper's statements hold here. Every row is shown with the epoch chosen
    on validation and, to see the difference, with the epoch chosen on test.

    \b
    Examples:
      evenhand reproduce
      evenhand reproduce kdd24-table5 --root data
    """
    from evenhand.cli import _progress
    from evenhand.study import reproduction
    from evenhand.study.papers import read

    check_writable(json)
    if table is None:
        return _list(json)
    folder = out or reproduction.default_out(read(table), data, scale)
    with _progress.runs() as on_progress:
        found = reproduction.reproduce(
            table, out=folder, root=root, data=data, scale=scale, seeds=seeds, n_workers=workers,
            on_progress=on_progress,
        )  # fmt: skip
    return _show(found, folder, json)


def _show(found: Reproduction, out: Path, json: Path | None) -> int:
    from evenhand.cli import _tables
    from evenhand.cli.compare import report_failures
    from evenhand.study import record
    from evenhand.study.findings import findings

    say(f"{found.table.name}: {found.table.title}", style="bold")
    say(found.table.source)
    say("")
    for line in record.explanations(found):
        say(line, style="dim")
    say("")
    _tables.show(record.tables(found))
    say("What the figures say", style="bold")
    for line in findings(found):
        item(line)
    files = record.save(found, out)
    say(f"\nWritten to {files[1]} and {files[0].name}.")
    write_result(json, record.as_dict(found))
    return report_failures(found.comparison)


def _list(json: Path | None) -> int:
    """Every table there is."""
    from evenhand.cli import _tables
    from evenhand.study.papers import names, read
    from evenhand.study.tables import Table

    known = [read(name) for name in names()]
    rows = tuple((table.name, table.data, str(len(table.rows)), str(table.seeds), table.title) for table in known)
    columns = ("table", "data", "methods", "seeds", "what it shows")
    _tables.show([Table("Tables that can be reproduced", columns, rows, text_columns=(0, 1, 4))])
    write_result(
        json,
        {"tables": [{"table": table.name, "title": table.title, "source": table.source, "data": table.data,
                     "methods": [row.method for row in table.rows]} for table in known]},
    )  # fmt: skip
    return 0
