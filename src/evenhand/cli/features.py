"""`evenhand features`: what an encoder makes of every row, computed once and stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evenhand.cli._arguments import Cache, Json, Root, SkipBad
from evenhand.cli._output import check_writable, say, write_result

if TYPE_CHECKING:
    from evenhand.data import Data
    from evenhand.data._feature_file import FeatureFile
    from evenhand.model import Model

SUFFIX = ".safetensors"


def features(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|DATA",
            help="A finished run's folder, for its encoder and its data; or a data set (name, TOML file or folder).",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write; its name ends in .safetensors.")],
    encoder: Annotated[str | None, typer.Option(metavar="NAME", help="Of DATA: the encoder, such as resnet18.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="pretrained|none|FILE", help="Of the encoder: the published ones (default), random ones, or a file."
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "float16"], typer.Option(help="How features are stored; float16 takes half the room.")
    ] = "float32",
    root: Root = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of RUN: the file of one's own that it was trained on.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="data.KEY=VALUE", help="An option of DATA (data.size=64). Repeatable."),
    ] = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the encoder works.")] = "auto",
    json: Json = None,
) -> int:
    """Store what an encoder makes of all rows of train, val and test.

    The encoder is that of a finished run, or one that was never trained on the data. The file can be used as DATA by
    all other commands: training then trains a classifier on the features.

    \b
    Example:
      evenhand features waterbirds --encoder resnet18 --root data --out birds.safetensors
      evenhand train birds.safetensors --method groupdro --out runs/birds
    """
    from evenhand.errors import BadInput

    check_writable(json)
    check_writable(out)
    if out.suffix != SUFFIX:
        raise BadInput(f"--out must end in {SUFFIX}, got {out}")
    of_data = (set_ or [], cache, skip_bad)
    if Path(source, "config.json").is_file():
        if encoder or weights or any(of_data):
            raise BadInput(f"{source} is a run: its encoder and its data are known, and no option can change them")
        model, chosen, said = _of_run(Path(source), root, data)
    else:
        if Path(source).is_dir() and encoder is None:
            raise BadInput(f"{source} is not a finished run: it has no config.json; images also need --encoder")
        if data is not None:
            raise BadInput(f"--data names the data of a run; {source} is none")
        model, chosen, said = _of_data(source, root, encoder, weights, of_data)
    from evenhand import features as stored

    facts = stored.identity(model, chosen, said, precision)
    found = stored.find(out, facts)
    file = found or _extract(model, chosen, out, facts, device)
    _summarise(file, was_there=found is not None)
    write_result(json, {**_described(file), "found": found is not None})
    return 0


def _of_run(folder: Path, root: Path | None, path: str | None) -> tuple[Model, Data, dict[str, Any]]:
    from evenhand import features as stored
    from evenhand.cli import _progress
    from evenhand.runs import Run

    run = Run(folder)
    with _progress.decoding():
        chosen = stored.data_of(run, root, path)
    return stored.load_model(run, chosen), chosen, {"run": folder.resolve().name}


def _of_data(
    name: str, root: Path | None, encoder: str | None, weights: str | None, options: tuple[list[str], str | None, bool]
) -> tuple[Model, Data, dict[str, Any]]:
    from evenhand import data as data_sets
    from evenhand.cli import _choices, _progress
    from evenhand.errors import BadInput

    if encoder is None:
        raise BadInput(f"say whose features of {name} are wanted: --encoder NAME, or a finished run in place of {name}")
    of_data, rest = _choices.for_data(*options)
    if rest:
        raise BadInput(f"--set takes options of the data here (data.key=value), got {rest[0]!r}")
    weights = weights or "pretrained"
    _choices.check_encoder({"encoder": encoder, "weights": weights})
    with _progress.decoding():
        chosen = data_sets.load(name, root, **of_data)
    from evenhand import features as stored

    said = weights if weights in ("pretrained", "none") else Path(weights).name
    return stored.encoder_of(chosen, encoder, weights), chosen, {"encoder": encoder, "weights": said}


def _extract(model: Model, data: Data, out: Path, facts: dict[str, Any], device: str) -> FeatureFile:
    from evenhand import features as stored
    from evenhand.cli import _progress

    total = sum(int(count_G.sum()) for count_G in data.count_G.values())
    with _progress.rows("features", total) as on_rows:
        return stored.extract(model, data, out, facts, device=device, on_rows=on_rows)


def _summarise(file: FeatureFile, *, was_there: bool) -> None:
    from evenhand.inputs.progress import size_text

    rows = ", ".join(f"{count} of {part}" for part, count in file.rows.items())
    say(f"{file.path}{' (found there, nothing was computed)' if was_there else ''}", style="bold")
    say(f"{file.n_features} features of each row ({rows}) in {file.facts['precision']}: {size_text(_size(file))}.")


def _size(file: FeatureFile) -> int:
    return file.path.stat().st_size


def _described(file: FeatureFile) -> dict[str, Any]:
    facts = {key: value for key, value in file.facts.items() if key != "content"}
    return {
        "file": str(file.path),
        **facts,
        "features": file.n_features,
        "rows": file.rows,
        "bytes": _size(file),
        "fingerprint": file.fingerprint,
        "content": file.facts["content"],
    }
