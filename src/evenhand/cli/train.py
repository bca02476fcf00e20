"""`evenhand train`: one method, one seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli._arguments import (
    Cache,
    DataName,
    Epochs,
    GroupsFrom,
    Json,
    Log,
    Out,
    Pretrain,
    PretrainEpochs,
    Root,
    SkipBad,
    Track,
)
from evenhand.cli._output import check_writable, say, write_result

if TYPE_CHECKING:
    from evenhand.runs import Run


def train(
    data: DataName,
    *,
    method: Annotated[str, typer.Option(metavar="NAME", help="See `evenhand methods`.")],
    out: Out,
    root: Root = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of initialisation, order and every other draw.")] = 0,
    epochs: Epochs = None,
    pretrain: Pretrain = None,
    pretrain_epochs: PretrainEpochs = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the method, a training setting (lr=0.01), or an option of the data (data.size=64). "
            "Repeatable.",
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(metavar="SECONDS", help="How often the state is stored, from which a killed run continues.")
    ] = 30.0,
    groups_from: GroupsFrom = None,
    track: Track = "",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    log: Log = "",
    json: Json = None,
) -> int:
    """Train one model and show how each group fares.

    The epoch is chosen on validation, the figures are on test. A finished run in --out is shown, not trained again; a
    killed one continues.

    \b
    Example:
      evenhand train adult --method groupdro --root data --out runs/adult
    """
    from evenhand import data as data_sets
    from evenhand import methods, runs
    from evenhand.cli import _choices, _progress, _tables
    from evenhand.errors import BadInput, unknown

    check_writable(json)
    if checkpoint_every < 0:
        raise BadInput(f"--checkpoint-every must not be negative, got {checkpoint_every}")
    if method not in methods.names():
        raise unknown("method", method, methods.names())
    of_data, rest = _choices.for_data(set_ or [], cache, skip_bad)
    options, settings = _choices.for_one(rest, method, epochs, seed, pretrain=pretrain, pretrain_epochs=pretrain_epochs)
    _choices.check_encoder(settings)
    with _progress.decoding():
        chosen = data_sets.load(data, root, **of_data)
    from evenhand.plan import Plan, resolve

    plan = Plan(method, options, settings, groups_from=groups_from, track=track, log=log)
    trained_by, resolved, config = resolve(plan, chosen)
    runs.claim(out, config["data"])
    run = runs.find(out, config)
    was_there = run is not None
    if log and run is not None:
        from evenhand import loggers

        loggers.complete(log, run)
    if run is None:
        from evenhand.execute import execute

        epochs_of = [resolved.epochs if stage.epochs is None else max(stage.epochs, 1) for stage in trained_by.stages()]
        total = sum(epochs_of)
        with _progress.pretraining_and_epochs(f"{method}, seed {seed}", total) as (on_pretraining, on_epoch):
            run = execute(
                chosen, plan, out,
                checkpoint_every=checkpoint_every, on_epoch=on_epoch, on_pretraining=on_pretraining,
            )  # fmt: skip
    _summarise(run, was_there)
    for note in chosen.notes:
        say(note, style="dim")
    _tables.show([groups_table(run)])
    write_result(json, {"run": str(run.folder), "config": run.config, **run.metrics})
    return 0


def _summarise(run: Run, was_there: bool) -> None:
    """Where the run is, which epoch was chosen and the main figures."""
    from evenhand.study.tables import percent

    chosen, test, worst = run.metrics["selection"], run.metrics["test"], run.metrics["worst_group"]
    say(f"{run.folder}{' (found there, nothing was trained)' if was_there else ''}", style="bold")
    score, rule = percent(chosen["score"]), chosen["rule"].replace("_", "-")
    say(
        f"Epoch {chosen['epoch'] + 1} of {run.config['settings']['epochs']}, "
        + (
            f"the last; it was not chosen (accuracy on validation {score} %)."
            if rule == "last"
            else f"chosen by {rule} accuracy on validation ({score} %)."
        )
    )
    say(
        f"Test: accuracy {percent(number(test['accuracy']))} %, worst group {percent(number(worst['value']))} % with "
        f"95 % interval [{percent(worst['low'])}, {percent(worst['high'])}], which accounts for choosing the minimum."
    )
    for line in unknown_groups(run):
        say(line)
    say("")


def unknown_groups(run: Run) -> list[str]:
    """How many rows belong to no group, and what that means; nothing where all groups are known."""
    found = run.metrics.get("unknown_groups", {})
    if not found:
        return []
    from evenhand.methods import find

    counts = ", ".join(f"{count} {part}" for part, count in found.items())
    used = "left out of training" if find(run.config["method"]["name"]).needs_groups else "trained on like all others"
    return [f"Rows of no known group: {counts}. They are {used}; figures of groups leave them out."]


def groups_table(run: Run) -> Any:
    """Accuracy, interval and sizes of each group, worst first."""
    from evenhand.study.tables import Table, percent

    groups = sorted(run.metrics["groups"], key=lambda g: (g["accuracy"] is None, g["accuracy"] or 0))
    rows = [
        (
            group["group"],
            percent(number(group["accuracy"])),
            f"[{percent(group['low'])}, {percent(group['high'])}]",
            *(str(group[part]) for part in ("test", "val", "train")),
        )
        for group in groups
    ]
    columns = ("group", "accuracy", "95 % interval", "test rows", "val", "train")
    return Table("Accuracy of each group on test, %", columns, tuple(rows))


def number(value: float | None) -> float:
    """NaN for a figure that is not there."""
    return float("nan") if value is None else value
