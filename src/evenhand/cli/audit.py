"""`evenhand audit`: who is badly served, from a table of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evenhand.cli._arguments import Json
from evenhand.cli._output import check_writable, console, write_result

if TYPE_CHECKING:
    pass


def audit(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV, TSV, Parquet, JSON lines or Arrow (.gz, .zst); a folder of such shards; a run folder.",
        ),
    ],
    *,
    label: Annotated[str | None, typer.Option(metavar="COL", help="The true class.")] = None,
    prediction: Annotated[
        str | None, typer.Option(metavar="COL", help="The predicted class; default: what the scores say.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="A group column; several are crossed. age:0,40,60 bins numbers. Repeatable."),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The class that TPR, FPR, precision and F1 are about.")
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Probability of the positive class, or one column per class. Repeatable."),
    ] = None,
    score_kind: Annotated[
        Literal["probability", "logit", "score"], typer.Option(help="What the scores are; score only ranks.")
    ] = "probability",
    weight: Annotated[str | None, typer.Option(metavar="COL", help="How much each row counts.")] = None,
    id: Annotated[
        str | None, typer.Option(metavar="COL", help="Rows with one id (images of one patient) belong together.")
    ] = None,
    missing: Annotated[
        Literal["error", "drop", "group"], typer.Option(help="Rows without a value; group keeps them visible.")
    ] = "error",
    confidence: Annotated[float, typer.Option(metavar="P", help="Of all intervals.")] = 0.95,
    interval: Annotated[
        Literal["wilson", "clopper_pearson"], typer.Option(help="Of proportions; Clopper-Pearson is exact, and wider.")
    ] = "wilson",
    max_groups: Annotated[int, typer.Option(metavar="N", help="Refuse to compare more groups than this.")] = 1000,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Of a run folder; default test.")] = None,
    json: Json = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the groups as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a page's section.")] = None,
) -> int:
    """Find out for whom a classifier works badly, from its predictions alone.

    Prints the groups, worst first, with an interval for each figure, and what follows from them. With --fail-if it
    decides a build: exit code 1 and the reason.

    Example: evenhand audit predictions.csv --label y --prediction p --group sex --group age:0,40,60
    """
    from evenhand.auditing import audit as run
    from evenhand.auditing import terminal
    from evenhand.auditing.result import plain

    for path in (json, csv, markdown, html):
        check_writable(path)
    found = run(
        file, label=label, prediction=prediction, group=group or [], positive=positive, score=score or [],
        score_kind=score_kind, weight=weight, id=id, missing=missing, confidence=confidence, interval=interval,
        max_groups=max_groups, split=split,
    )  # fmt: skip
    terminal.show(found.record, console())
    write_result(json, plain(found.record))
    return 0
