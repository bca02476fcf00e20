"""`evenhand discover`: candidate hidden groups, without any group label."""

from __future__ import annotations

import io
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from evenhand.cli._arguments import Cache, Json, Root, SkipBad
from evenhand.cli._output import check_writable, item, say, write_result
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from evenhand.data import Data
    from evenhand.discovery.discover import Discovery, Texts
    from evenhand.discovery.looking import Source
    from evenhand.study.tables import Table

MOST_SHOWN = 20  # groups on the terminal
TABLE, RECORD, SHEET = "groups.parquet", "discovery.json", "examples.png"


def discover(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|DATA",
            help="A finished run's folder, for its features, its predictions and its data; or a data set (its name, a "
            "TOML file, a file of features, a folder of images).",
        ),
    ],
    *,
    kind: Annotated[
        str,
        typer.Option(
            metavar="clusters|errors|critical|domino",
            help="k-means of each class; clusters with more than their share of errors; rows whose cluster is hard to "
            "tell (ClusterFix); a mixture over features, labels and predictions (Domino).",
        ),
    ] = "clusters",
    clusters: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Of each class; auto: by the silhouette, from 2 to 10.")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of a row, for the most critical examples: loss, distance, group_loss, group_error, …"
        ),
    ] = None,
    fit: Annotated[
        Literal["train", "val"] | None, typer.Option(help="The split that groups are found in; default train.")
    ] = None,
    split: Annotated[
        Literal["val", "test"] | None,
        typer.Option(help="Of RUN: find groups in its stored predictions of this split alone, by their logits."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of DATA: the encoder of features; default: inputs as they are.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="pretrained|none|FILE", help="Of the encoder: the published ones (default), random ones, or a file."
        ),
    ] = None,
    root: Root = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of RUN: the file of one's own that it was trained on.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the kind, or data.KEY of DATA. Repeatable."),
    ] = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Write {TABLE}, {RECORD} and, of images, {SHEET} there."),
    ] = None,
    examples: Annotated[int, typer.Option(metavar="N", help="Typical and critical rows to show of each group.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="Of everything that is drawn.")] = 0,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the encoder works.")] = "auto",
    json: Json = None,
) -> int:
    """Find candidate hidden groups without any group label.

    Groups are found in train (or val), all rows of train and val are put into them, and they are ranked by how badly
    the model serves them. The test split stays closed, unless --split asks for what a run has stored of it. Group
    labels play no part; where they are known, they score what was found.

    \b
    Example:
      evenhand discover runs/erm-seed0-3f9a2c81d07b --out found
      evenhand train digits --method groupdro --groups-from found/groups.parquet --out runs
      evenhand audit found/groups.parquet --label y --prediction prediction --group group --group split
    """
    from evenhand.cli import _choices, _tables
    from evenhand.discovery import kinds

    check_writable(json)
    _check_out(out)
    of_data, rest = _choices.for_data(set_ or [], cache, skip_bad)
    found_by = kinds.make(kind, **_kind_options(rest, clusters, seed))
    if Path(source, "config.json").is_file():
        if encoder or weights or of_data:
            raise BadInput(f"{source} is a run: its encoder and its data are known, and no option can change them")
        looked = _of_run(Path(source), root, path=data, split=split, fit=fit, device=device)
    else:
        for flag, value in (("--split", split), ("--data", data)):
            if value is not None:
                raise BadInput(f"{flag} is about a run; {source} is none")
        looked = _of_data(source, root, of_data, encoder=encoder, weights=weights, device=device)
    from evenhand.discovery.discover import discover as find

    found = find(looked.source, found_by, look_at=split or fit or "train", score=score, n_examples=examples)
    if out is not None:
        _write(found, out, looked.texts)
    _tables.show(_shown(found))
    _say_excerpts(found, looked.texts)
    if found.judgement is not None:
        _tables.show([judged_table(found)])
    if out is not None:
        _say_next(found, out)
    write_result(json, found.as_dict(looked.texts))
    return 0


class _Looked(NamedTuple):
    source: Source
    texts: Texts | None = None


def _kind_options(rest: list[str], clusters: str | None, seed: int) -> dict[str, Any]:
    from evenhand.options import pairs

    options: dict[str, Any] = pairs(rest)
    for key, flag in (("seed", "--seed"), ("clusters", "--clusters")):
        if key in options and (key == "seed" or clusters is not None):
            raise BadInput(f"{key} has a flag of its own: use {flag}")
    if clusters is not None:
        options["clusters"] = None if clusters == "auto" else clusters
    return {**options, "seed": seed}


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out must be a folder, and {out} is a file")
    check_writable(out / TABLE if out.is_dir() else out.absolute())


def _of_run(
    folder: Path, root: Path | None, *, path: str | None, split: str | None, fit: str | None, device: str
) -> _Looked:
    from evenhand.runs import Run

    run = Run(folder)
    if split is not None:
        if fit is not None or path is not None:
            raise BadInput("--split looks at stored predictions alone; leave --fit and --data out, or --split")
        from evenhand.discovery import looking

        return _Looked(looking.at_predictions(run))
    from evenhand import features
    from evenhand.cli import _progress
    from evenhand.discovery import looking

    with _progress.decoding():
        chosen = features.data_of(run, root, path)
    wanted = run.config["data"]
    texts = _texts(chosen, path or wanted["name"], root, wanted.get("options", {}))
    return _Looked(looking.at_run(run, chosen, device), texts)


def _of_data(
    name: str,
    root: Path | None,
    options: dict[str, Any],
    *,
    encoder: str | None,
    weights: str | None,
    device: str,
) -> _Looked:
    if Path(name).is_dir() and any(Path(name).glob("*/config.json")):
        raise BadInput(f"{name} is not a finished run: it has no config.json; name one of the runs in it")
    if weights is not None and encoder is None:
        raise BadInput("--weights are those of an encoder; name it with --encoder")
    from evenhand import data as data_sets
    from evenhand.cli import _progress

    with _progress.decoding():
        chosen = data_sets.load(name, root, **options)
    from evenhand import features
    from evenhand.discovery import looking

    model, said = None, "inputs as they are"
    if encoder is not None:
        weights = weights or "pretrained"
        model = features.encoder_of(chosen, encoder, weights)
        said = f"{encoder} with weights {weights if weights in ('pretrained', 'none') else Path(weights).name}"
    return _Looked(looking.at_data(chosen, model, said, device), _texts(chosen, name, root, options))


def _texts(data: Data, name: str, root: Path | None, options: dict[str, Any]) -> Texts | None:
    from evenhand.discovery import quoting

    return quoting.texts_of(data, name, root, options) if quoting.are_texts(data) else None


def _write(found: Discovery, out: Path, texts: Texts | None) -> None:
    """The table, the record and the contact sheet, each whole or not at all."""
    from evenhand.files import cannot_write, write_atomically, write_json

    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    buffer = io.BytesIO()
    found.table().write_parquet(buffer)
    write_atomically(out / TABLE, buffer.getvalue())
    write_json(out / RECORD, found.as_dict(texts))
    sheet = found.sheet()
    if sheet is not None:
        write_atomically(out / SHEET, sheet)


def _shown(found: Discovery) -> list[Table]:
    tables = [groups_table(found), examples_table(found)]
    return [*tables, apart_table(found)] if found.source.feature_names else tables


def groups_table(found: Discovery) -> Table:
    """Size, accuracy with its interval, loss and mean score of each group, worst first."""
    from evenhand.study.tables import Table, percent

    source, by = found.source, found.by
    sizes = [split for split in source.rows if split != by]
    columns = ("accuracy", "95 % interval", "loss") if source.has_predictions else ()
    scored = found.score not in columns
    rows = []
    for group in found.groups[:MOST_SHOWN]:
        own = group.figures[by]
        figures = (percent(own.accuracy), f"[{percent(own.low)}, {percent(own.high)}]", _number(own.loss))
        counts = (str(group.figures[split].count) for split in (by, *sizes))
        rows.append((group.name, *(figures if columns else ()), *[_number(own.score)] * scored, *counts))
    title = f"{len(found.groups)} groups found in {found.looked_at} ({_kind(found)}, on {source.about['features']})"
    order = "smallest first" if not columns else f"by accuracy on {by}, %, worst first"
    header = ("group", *columns, *[found.score.replace("_", " ")] * scored, f"{by} rows", *sizes)
    return Table(f"{title}; {order}", header, tuple(rows), tuple(_notes(found)))


def _notes(found: Discovery) -> list[str]:
    notes = []
    if len(found.groups) > MOST_SHOWN:
        notes.append(f"The first {MOST_SHOWN} groups of {len(found.groups)}; --json and --out have all.")
    if found.source.has_predictions:
        notes.append(
            "Intervals (Wilson) are of one group each and do not account for looking at the worst of them. Candidates "
            "are no findings: look at their examples."
        )
    return notes


def examples_table(found: Discovery) -> Table:
    """Rows of each group: the nearest to its middle, and those with the highest score."""
    from evenhand.study.tables import Table

    rows = [
        (group.name, *(", ".join(str(each.row) for each in sort) for sort in (shown.typical, shown.critical)))
        for group, shown in zip(found.groups[:MOST_SHOWN], found.examples, strict=False)
    ]
    title = f"Rows of {found.looked_at}: the most typical, and the most critical by {found.score.replace('_', ' ')}"
    return Table(title, ("group", "typical", "critical"), tuple(rows), text_columns=(0, 1, 2))


def apart_table(found: Discovery) -> Table:
    """The features that set each group apart."""
    from evenhand.study.tables import Table, signed

    rows = [
        (group.name, ", ".join(f"{each['feature']} {signed(each['difference'], 1)}" for each in named) or "none")
        for group, named in zip(found.groups[:MOST_SHOWN], found.apart, strict=False)
    ]
    title = "What sets the groups apart from the rest of their class, in standard deviations"
    return Table(title, ("group", "features"), tuple(rows), text_columns=(0, 1))


def judged_table(found: Discovery) -> Table:
    """Agreement with known attributes."""
    from evenhand.discovery.judging import measures
    from evenhand.study.tables import Table

    assert found.judgement is not None
    splits = {split: measures(own) for split, own in found.judgement["splits"].items()}
    names = list(dict.fromkeys(name for own in splits.values() for name in own))
    rows = [(name, *(_number(own.get(name, nan)) for own in splits.values())) for name in names]
    which = "worst" if found.source.has_predictions else "smallest"
    title = f"Agreement with the known attributes; {which} group: {found.judgement['worst_group']}"
    return Table(title, ("measure", *splits), tuple(rows), (found.judgement["note"],))


def _say_excerpts(found: Discovery, texts: Texts | None) -> None:
    if texts is None:
        return
    for group, quoted in zip(found.groups[:MOST_SHOWN], found.excerpts(texts), strict=False):
        for sort, excerpts in quoted.items():
            say(f"{group.name}, {sort}", style="bold")
            for each in excerpts:
                item(each)
    say("")


def _say_next(found: Discovery, out: Path) -> None:
    names = [name for name in (TABLE, RECORD, SHEET) if (out / name).exists()]
    say(f"Written to {out}: {', '.join(names)}.", style="bold")
    if "train" in found.placed:
        say(f"To train by these groups: evenhand train DATA --method groupdro --groups-from {out / TABLE} …")
    if found.source.has_predictions:
        columns = "--label y --prediction prediction --group group --group split"
        say(f"To audit them: evenhand audit {out / TABLE} {columns}")


def _kind(found: Discovery) -> str:
    return type(found.kind).__module__.rpartition(".")[2]


def _number(value: float) -> str:
    return "–" if isnan(value) else f"{value:.3f}"
