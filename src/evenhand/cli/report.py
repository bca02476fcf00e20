"""`evenhand report`: what a folder says, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli._arguments import Json
from evenhand.cli._output import check_writable, paragraph, say, write_result
from evenhand.errors import BadInput


def report(
    dir: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder of runs, a run, a folder with the JSON files of other commands, or one such file.",
        ),
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the page is written; default DIR/report.html.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show runs in progress, live, and the page in a browser of this machine.")
    ] = False,
    port: Annotated[int, typer.Option(metavar="N", help="Of --serve; 0 takes a free one.")] = 0,
    json: Json = None,
) -> int:
    """Put runs, comparisons, audits, diagnoses, discoveries and reproductions on one page.

    The page is one file that needs no network, light or dark, to be read on a screen or printed. What it shows is also
    written to report.json beside it. Exit code 1 if a part could not be written.

    \b
    Examples:
      evenhand report runs/adult
      evenhand audit predictions.csv --label y --prediction p --group sex --json audit.json
      evenhand report audit.json --out audit.html
    """
    if serve:
        if out is not None:
            raise BadInput("--serve writes no file: leave out --out")
        from evenhand.report.serving import serve as show

        return int(show(dir, port=port) or 0)
    from evenhand.report.writing import default_out, write

    target = default_out(dir) if out is None else out
    check_writable(target)
    check_writable(json)
    written = write(dir, target.resolve() if target.is_symlink() else target)
    for problem in written.problems:
        paragraph(problem)
    say(f"The page is {written.page}; what it shows is in {written.stored.name} beside it.")
    write_result(json, written.values)
    return int(written.failed)
