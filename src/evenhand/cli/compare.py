"""`evenhand compare`: several methods over several seeds on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    Seeds,
    SkipBad,
    Track,
    Workers,
)
from evenhand.cli._output import check_writable, paragraph, say, write_result

if TYPE_CHECKING:
    from evenhand.study import Comparison


def compare(
    data: DataName,
    *,
    methods: Annotated[str, typer.Option(metavar="A,B,C", help="Methods, separated by commas.")],
    out: Out,
    root: Root = None,
    seeds: Seeds = 3,
    workers: Workers = None,
    epochs: Epochs = None,
    pretrain: Pretrain = None,
    pretrain_epochs: PretrainEpochs = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A training setting of all (lr=0.01), an option of one method (groupdro.step_size=0.1) or of "
            "the data (data.size=64). Repeatable.",
        ),
    ] = None,
    oracle: Annotated[
        bool,
        typer.Option(
            "--oracle",
            help="Also evaluate on test after every epoch, to show what every rule of selection leads to.",
        ),
    ] = False,
    groups_from: GroupsFrom = None,
    track: Track = "",
    cache: Cache = None,
    skip_bad: SkipBad = False,
    log: Log = "",
    json: Json = None,
) -> int:
    """Train several methods over seeds and compare them.

    Says what differs by more than the noise of the seeds. Runs already in --out are reused; interrupted or killed, the
    same command continues. A run that fails does not stop the others: it is named at the end, and the exit code is 1.

    \b
    Example:
      evenhand compare adult --methods erm,subg,groupdro --root data --out runs/adult
    """
    from evenhand import study
    from evenhand.cli import _choices, _progress, _tables

    check_writable(json)
    names = [name.strip() for name in methods.split(",") if name.strip()]
    study.check([study.Contender(name) for name in names], seeds, workers)
    of_data, rest = _choices.for_data(set_ or [], cache, skip_bad)
    options, settings = _choices.for_several(rest, names, epochs, pretrain=pretrain, pretrain_epochs=pretrain_epochs)
    _choices.check_encoder(settings)
    with _progress.runs() as on_progress:
        comparison = study.compare(
            data, [study.Contender(name, options[name]) for name in names], out=out, seeds=seeds, root=root,
            settings=settings, data_options=of_data, groups_from=groups_from, oracle=oracle, track=track,
            log=log, n_workers=workers, on_progress=on_progress,
        )  # fmt: skip
    _tables.show(study.shown(comparison))
    files = study.save(comparison, out)
    say(f"Written to {files[1]} and {files[0].name}.")
    write_result(json, study.as_dict(comparison))
    return report_failures(comparison)


def report_failures(comparison: Comparison) -> int:
    """Name the runs that failed on standard error; the exit code."""
    for failure in comparison.failures:
        paragraph(f"{failure.label} with seed {failure.seed} failed: {failure.reason}")
    return 1 if comparison.failures else 0
