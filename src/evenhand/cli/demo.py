"""`evenhand demo`: the main job on built-in data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli._arguments import Json, Workers
from evenhand.cli._output import check_writable, say, write_result

# Here no network is pretrained, as the paper's are for images, so ncdebias begins with an epoch of plain training.
METHODS = ("erm", "rwg", "groupdro", "ncdebias")
SEEDS = 3


def demo(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where run folders are kept.")] = Path("demo-run"),
    workers: Workers = None,
    json: Json = None,
) -> int:
    """See it all on built-in data, in about two minutes.

    Handwritten digits lie on backgrounds that go with their class in training, and only there. Plain training relies on
    the background and fails on the digits that lie on the other one; methods that know the groups do not.

    \b
    Example:
      evenhand demo
    """
    from evenhand import study
    from evenhand.cli import _progress, _tables
    from evenhand.cli.compare import report_failures
    from evenhand.files import without_nan
    from evenhand.report.writing import write
    from evenhand.study.tables import tables
    from evenhand.study.verdict import verdict

    check_writable(json)
    with _progress.runs() as on_progress:
        comparison = study.compare("digits", METHODS, out=out, seeds=SEEDS, n_workers=workers, on_progress=on_progress)
    _tables.show(tables(comparison))
    for sentence in verdict(without_nan(study.as_dict(comparison))):
        say(sentence, style="bold")
    files = study.save(comparison, out)
    say(f"\nThe tables are in {files[1]}, all figures in {files[0]}, each run with its predictions in a folder beside.")
    say(f"All of it on one page, with charts: {write(out).page.resolve()}")
    write_result(json, comparison.as_dict())
    return report_failures(comparison)
