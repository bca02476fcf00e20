"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli._output import result_path

DataName = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A data set's name (see `evenhand data list`; torchvision:NAME, hf:NAME), a TOML file that describes your "
        "own data, a folder with one folder of images for each class, or a file of features.",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="EVENHAND_DATA",
        help="The folder that holds every data set under its official folder name.",
    ),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where run folders are kept; finished runs there are reused.")]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=result_path,
        help="Also write the result to FILE for machines; with - it has standard output for itself.",
    ),
]
GroupsFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Train and select by the groups of a table (columns split, row, group), such as discovered ones; results "
        "are by the groups of the data.",
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="disk|none",
        help="Of image data: decode files once into a cache on disk (default), or read them anew in every epoch.",
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Of image data: leave out files that are no images.")]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="Passes over the training data.")]
Pretrain = Annotated[
    str | None,
    typer.Option(
        metavar="barlowtwins|moco|mae",
        help="Train the encoder on the training images without labels first; the result is kept in --out and reused.",
    ),
]
PretrainEpochs = Annotated[int | None, typer.Option(metavar="N", help="Passes over the training images for that.")]
Track = Annotated[
    str,
    typer.Option(
        metavar="collapse|collapse-exact",
        help="Record neural collapse in every epoch, of training features as they go by or, exact, of a pass over all.",
    ),
]
Log = Annotated[
    str,
    typer.Option(
        "--log",
        metavar="tensorboard|mlflow|wandb|csv",
        help="Also log every epoch for this tool, below OUT/logs; needs evenhand[loggers].",
    ),
]
Seeds = Annotated[int, typer.Option(metavar="N", help="Train with the seeds 0 to N-1.")]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Worker processes, one thread each; default one for each core."),
]
