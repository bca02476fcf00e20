"""`evenhand demo`: the main job on built-in data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli._arguments import Json, Workers
from evenhand.cli._output import check_writable, say, write_result

if TYPE_CHECKING:
    from evenhand.study import Comparison

# Here no network is pretrained, as the paper's are for images, so ncdebias begins with an epoch of plain training.
METHODS = ("erm", "rwg", "groupdro", "ncdebias")
SEEDS = 3


def demo(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where run folders are kept.")] = Path("demo-run"),
    workers: Workers = None,
    json: Json = None,
) -> int:
    """See it all on built-in data, in about a minute.

    Handwritten digits lie on backgrounds that go with their class in training, and only there. Plain training relies on
    the background and fails on the digits that lie on the other one; methods that know the groups do not.

    \b
    Example:
      evenhand demo
    """
    from evenhand import study
    from evenhand.cli import _progress, _tables
    from evenhand.cli.compare import report_failures
    from evenhand.study.tables import tables

    check_writable(json)
    with _progress.runs() as on_progress:
        comparison = study.compare("digits", METHODS, out=out, seeds=SEEDS, n_workers=workers, on_progress=on_progress)
    _tables.show(tables(comparison))
    say(verdict(comparison), style="bold")
    files = study.save(comparison, out)
    say(f"\nThe tables are in {files[1]}, all figures in {files[0]}, each run with its predictions in a folder beside.")
    write_result(json, comparison.as_dict())
    return report_failures(comparison)


def verdict(comparison: Comparison) -> str:
    """One sentence on what plain training does to its worst group and what helps most, from the figures."""
    from evenhand.study.comparison import MAIN, Figure, worst_group
    from evenhand.study.tables import percent, signed

    entries = {entry.label: entry for entry in comparison.shown}
    plain = entries[comparison.reference]
    accuracy, worst = (Figure.over(plain.values(metric)).mean for metric in ("accuracy", MAIN))
    start = (
        f"{plain.label} is right on {percent(accuracy)} % of the test rows, but on {percent(worst)} % of its "
        f"worst group ({worst_group(plain).group})"
    )
    gains = {
        label: Figure.over(entry.values(MAIN)).mean - Figure.over(plain.values(MAIN)).mean
        for label, entry in entries.items() if entry is not plain
    }  # fmt: skip
    if not gains or max(gains.values()) <= 0:
        return f"{start}; no other method here does better on its worst group."
    most = max(gains, key=lambda label: gains[label])
    clear = any(d.method == most and d.p_adjusted <= 0.05 for d in comparison.differences())
    seeds = f"{len(comparison.seeds)} seed{'s' * (len(comparison.seeds) > 1)}"
    noise = f"beyond the noise of {seeds}" if clear else f"though {seeds} are too few to tell that from noise"
    return f"{start}; {most} changes the worst group by {signed(gains[most])} points, {noise}."
