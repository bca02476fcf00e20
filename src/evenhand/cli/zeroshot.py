"""`evenhand zeroshot`: a predictor that needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli._arguments import Cache, DataName, Json, Out, Root, SkipBad
from evenhand.cli._output import check_writable, say, write_result
from evenhand.cli.train import groups_table, number

if TYPE_CHECKING:
    from evenhand.runs import Run


def zeroshot(
    data: DataName,
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="An architecture of open_clip (ViT-B-32), hf-hub:OWNER/NAME, or a folder; with --kind diffusion a "
            "pipeline of diffusers: a folder, or a name on the Hugging Face hub.",
        ),
    ],
    out: Out,
    weights: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Of an architecture: the name of published weights, or a file of them."),
    ] = None,
    kind: Annotated[
        str, typer.Option(metavar="clip|diffusion", help="What predicts: image and text alike, or predicted noise.")
    ] = "clip",
    template: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="What an image of a class shows, with {} where the class is named; default 'a photo of a {}.'. "
            "Repeatable with clip, which averages.",
        ),
    ] = None,
    class_names: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the classes are called in prompts, one a line, in their order."),
    ] = None,
    root: Root = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the noise of diffusion; clip draws nothing.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the predictor (trials=25,250), batch_size, device or threads, or an option of the data "
            "(data.size=224). Repeatable.",
        ),
    ] = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
    json: Json = None,
) -> int:
    """Let a model predict that was never trained on the data and show how each group fares.

    Images are resized to what the model takes; data.size decodes them in that size at once. The run in --out is audited
    and compared like any other.

    \b
    Example:
      evenhand zeroshot waterbirds --model ViT-B-32 --weights laion2b_s34b_b79k --root data --out runs/waterbirds
    """
    from evenhand import data as data_sets
    from evenhand import runs
    from evenhand import zeroshot as predictors
    from evenhand.cli import _choices, _progress, _tables

    check_writable(json)
    of_data, rest = _choices.for_data(set_ or [], cache, skip_bad)
    options, settings = _options(rest, seed)
    given = {"model": model, "weights": weights, "templates": template, "class_names": _lines(class_names)}
    predictor = predictors.make(kind, **options, **{key: value for key, value in given.items() if value is not None})
    with _progress.decoding():
        chosen = data_sets.load(data, root, **of_data)
    config = predictors.resolve(chosen, predictor, settings)[2]
    runs.claim(out, config["data"])
    was_there = runs.find(out, config) is not None
    with _progress.rows(f"{kind}, {model}", len(chosen.val) + len(chosen.test)) as on_rows:
        run = predictors.run(chosen, predictor, out, settings, on_rows=on_rows)
    _summarise(run, was_there)
    for note in chosen.notes:
        say(note, style="dim")
    _tables.show([groups_table(run)])
    write_result(json, {"run": str(run.folder), "config": run.config, **run.metrics})
    return 0


def _options(texts: list[str], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the predictor and the settings, of `--set` and `--seed` together.

    Raises:
        BadInput: a key that has an option of its own.
    """
    from evenhand.errors import BadInput
    from evenhand.options import pairs
    from evenhand.zeroshot import SETTINGS

    given = pairs(texts)
    for key, flag in (("model", "model"), ("weights", "weights"), ("templates", "template"), ("seed", "seed")):
        if key in given:
            raise BadInput(f"{key} is not a --set key: use --{flag}")
    if "class_names" in given:
        raise BadInput("class_names is not a --set key: use --class-names FILE, with one name a line")
    settings = {key: value for key, value in given.items() if key in SETTINGS}
    return {key: value for key, value in given.items() if key not in SETTINGS}, {**settings, "seed": seed}


def _lines(path: Path | None) -> tuple[str, ...] | None:
    """The lines of a text file but for empty ones at its end; None without a file."""
    from evenhand.data._base import read_text

    return None if path is None else tuple(line.strip() for line in read_text(path).rstrip().splitlines())


def _summarise(run: Run, was_there: bool) -> None:
    """Where the run is, how classes were told apart and the main figures."""
    from evenhand.study.tables import percent

    test, worst = run.metrics["test"], run.metrics["worst_group"]
    templates = run.config["method"]["options"]["templates"]
    say(f"{run.folder}{' (found there, nothing was predicted)' if was_there else ''}", style="bold")
    say(f"Nothing was trained; classes are told apart by {len(templates)} prompt{'s' * (len(templates) > 1)}: "
        f"{'; '.join(templates)}")  # fmt: skip
    say(
        f"Test: accuracy {percent(number(test['accuracy']))} %, worst group {percent(number(worst['value']))} % with "
        f"95 % interval [{percent(worst['low'])}, {percent(worst['high'])}], which accounts for choosing the minimum."
    )
    unknown = run.metrics["unknown_groups"]
    if unknown:
        counts = ", ".join(f"{count} {part}" for part, count in unknown.items())
        say(f"Rows of no known group: {counts}. Figures of groups leave them out.")
    say("")
