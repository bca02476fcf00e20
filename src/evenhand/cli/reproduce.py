"""`evenhand reproduce`: a paper's table beside our numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli._arguments import Json, Root, Workers
from evenhand.cli._output import check_writable, item, say, write_result

if TYPE_CHECKING:
    from evenhand.study.reproduction import Reproduction, StudyReproduction


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
    plots: Annotated[
        str,
        typer.Option(
            metavar="html,png,svg", help="In which formats figures are written; png and svg need Chrome or Chromium."
        ),
    ] = "html",
    json: Json = None,
) -> int:
    """Repeat a paper's table or figure, its numbers beside ours.

    Trains what is missing and says which of the paper's statements hold here. Every row is shown with the epoch chosen
    on validation and, to see the difference, with the epoch chosen on test.

    \b
    Examples:
      evenhand reproduce
      evenhand reproduce kdd24-table5 --root data
    """
    from evenhand.cli import _progress
    from evenhand.study import reproduction
    from evenhand.study.papers import read_study

    check_writable(json)
    formats = _formats(plots)
    if table is None:
        return _list(json)
    study = read_study(table)
    folder = out or (Path("runs") if study.several else reproduction.default_out(study.parts[0], data, scale))
    with _progress.runs() as on_progress:
        found = reproduction.reproduce_study(
            table, out=out, root=root, data=data, scale=scale, seeds=seeds, n_workers=workers, on_progress=on_progress
        )
    return _show(found, folder, formats, json)


def _formats(plots: str) -> list[str]:
    from evenhand.errors import unknown

    known, wanted = ("html", "png", "svg"), [name.strip() for name in plots.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise unknown("format of a figure", name, known)
    return wanted


def _show(found: StudyReproduction, out: Path, formats: list[str], json: Path | None) -> int:
    from evenhand.cli import _tables
    from evenhand.cli.compare import report_failures
    from evenhand.study import across, record

    say(f"{found.study.name}: {found.study.title}", style="bold")
    say(found.study.source)
    for part in found.parts:
        say("")
        if found.study.several:
            say(part.table.part + ("" if part.comparable else f"; here {part.comparison.data}"), style="bold")
        _show_part(part)
    for label, reason in found.missing.items():
        say(f"\nNot run: {label}. {reason}", style="bold")
    _tables.show(across.tables(found))
    for line in across.findings(found):
        item(line)
    figure = _figure(found, out, formats) if found.study.figure else None
    files = record.save_study(found, out, figure)
    say(f"\nWritten to {files[1]} and {files[0].name}.")
    write_result(json, record.study_as_dict(found, figure))
    return max(report_failures(part.comparison) for part in found.parts)


def _figure(found: StudyReproduction, out: Path, formats: list[str]) -> dict[str, Any]:
    """Measure, show and draw the figure of a study; its record."""
    from evenhand.cli import _tables
    from evenhand.files import cannot_write
    from evenhand.plots import save
    from evenhand.study import figures

    try:
        out.mkdir(parents=True, exist_ok=True)  # a study that trains nothing has made no folder
    except OSError as error:
        raise cannot_write(out, error) from error
    measured = figures.measured(found.study.figure, found, found.study.figure_options)
    _tables.show(figures.tables(measured))
    for line in figures.findings(measured):
        item(line)
    written = [
        save(panel, out / f"{found.study.name}{f'-{name}' if name else ''}.{kind}")
        for name, panel in figures.drawn(measured).items()
        for kind in formats
    ]
    say(f"\nDrawn in {', '.join(str(path) for path in written)}.")
    return measured


def _show_part(found: Reproduction) -> None:
    from evenhand.cli import _tables
    from evenhand.study import record
    from evenhand.study.findings import findings

    for line in record.explanations(found):
        say(line, style="dim")
    if not found.table.rows:
        return
    say("")
    _tables.show(record.tables(found))
    say("What the figures say", style="bold")
    for line in findings(found):
        item(line)


def _list(json: Path | None) -> int:
    """Every table there is."""
    from evenhand.cli import _tables
    from evenhand.study.papers import names, read_study
    from evenhand.study.tables import Table

    known = [read_study(name) for name in names()]
    rows = tuple(
        (study.name, ", ".join(dict.fromkeys(part.data for part in study.parts)), str(len(study.parts[0].rows)),
         str(study.parts[0].seeds), study.title)
        for study in known
    )  # fmt: skip
    columns = ("table", "data", "methods", "seeds", "what it shows")
    _tables.show([Table("Tables and figures that can be reproduced", columns, rows, text_columns=(0, 1, 4))])
    write_result(
        json,
        {"tables": [{"table": study.name, "title": study.title, "source": study.source, "data": study.parts[0].data,
                     "parts": [{"part": part.part, "data": part.data} for part in study.parts],
                     "methods": [row.method for row in study.parts[0].rows]} for study in known]},
    )  # fmt: skip
    return 0
