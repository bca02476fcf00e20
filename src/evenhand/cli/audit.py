"""`evenhand audit`: who is badly served, from a table of predictions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evenhand.cli._arguments import Json
from evenhand.cli._output import check_writable, console, say, write_result
from evenhand.errors import BadInput
from evenhand.files import cannot_write, write_atomically

if TYPE_CHECKING:
    from evenhand.auditing import Audit
    from evenhand.auditing.gate import Verdict


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
    replicates: Annotated[
        int | None, typer.Option(metavar="N", help="Resamples for intervals of figures from scores.")
    ] = None,
    max_groups: Annotated[int, typer.Option(metavar="N", help="Refuse to compare more groups than this.")] = 1000,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Of a run folder; default test.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another model's predictions of the same rows, compared group by group."),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Look for the worst slices among combinations of up to three columns.")
    ] = False,
    search_without: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="A column that --search leaves alone, such as a model's output. Repeatable."),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(metavar="EXPR", help='Exit 1 if this holds: "worst_group_accuracy < 0.8". Repeatable.'),
    ] = None,
    confident: Annotated[
        bool, typer.Option("--confident", help="Fail only if the whole interval is beyond the threshold.")
    ] = False,
    json: Json = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the groups as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a web page.")] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what --fail-if decided as JUnit XML.")
    ] = None,
    github_summary: Annotated[
        bool, typer.Option("--github-summary", help="Append what --fail-if decided to the job's summary.")
    ] = False,
) -> int:
    """Find out for whom a classifier works badly, from its predictions alone.

    Prints the groups, worst first, with an interval for each figure, and what follows from them. With --fail-if it
    decides a build: exit code 1 and the reason.

    Example: evenhand audit predictions.csv --label y --prediction p --group sex --group age:0,40,60
    """
    from evenhand.auditing import audit as run
    from evenhand.auditing import gate
    from evenhand.auditing.output import terminal

    _check_companions(fail_if, search=search, search_without=search_without, junit=junit, confident=confident)
    for path in (json, csv, markdown, html, junit):
        check_writable(path)
    for expression in fail_if or []:
        gate.parse(expression)
    found = run(
        file, label=label, prediction=prediction, group=group or [], positive=positive, score=score or [],
        score_kind=score_kind, weight=weight, id=id, against=against, search=search,
        search_without=search_without or [], missing=missing,
        confidence=confidence, interval=interval, max_groups=max_groups, split=split,
        replicates=replicates,
    )  # fmt: skip
    verdicts = found.check(fail_if or [], confident=confident)
    terminal.show(found.record, console())
    _show(verdicts)
    gated = {"gate": [asdict(verdict) for verdict in verdicts]} if verdicts else {}
    write_result(json, {"kind": "audit"} | found.as_dict() | gated)
    for path, content in ((csv, found.to_csv), (markdown, found.to_markdown), (html, found.to_page)):
        _write(path, content)
    _write(junit, lambda: gate.junit(verdicts))
    if github_summary:
        _summarise(found, verdicts)
    return int(any(verdict.failed for verdict in verdicts))


def _check_companions(
    fail_if: list[str] | None, *, search: bool, search_without: list[str] | None, junit: Path | None, confident: bool
) -> None:
    """Refuse options that would do nothing alone, so that a forgotten condition does not pass a build."""
    for option, given in (("--junit", junit is not None), ("--confident", confident)):
        if given and not fail_if:
            raise BadInput(f'{option} is about what --fail-if decides; add one, such as --fail-if "accuracy < 0.8"')
    if search_without and not search:
        raise BadInput("--search-without is about --search; add it")


def _show(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        mark, style = ("✗ failed", "bold red") if verdict.failed else ("✓ passed", "green")
        say(f"{mark}: {verdict.expression}: {verdict.reason}", style)


def _write(path: Path | None, content: Callable[[], str]) -> None:
    if path is not None:
        write_atomically(path, content().encode())


def _summarise(found: Audit, verdicts: list[Verdict]) -> None:
    """Append to the file that GitHub names for a job's summary; to standard output elsewhere."""
    from evenhand.auditing import gate

    text = gate.markdown(verdicts) + "\n" + found.to_markdown() if verdicts else found.to_markdown()
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        say(text)
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(Path(summary), error) from error
