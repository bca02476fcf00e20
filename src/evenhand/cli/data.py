"""`evenhand data`: which data sets there are, what is in them, whether the files are right, and how to get them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from evenhand import data
from evenhand.cli import _data_pages as pages
from evenhand.cli._arguments import Cache, Json, Root, SkipBad
from evenhand.cli._output import check_writable, say, stream, write_result
from evenhand.cli._progress import decoding
from evenhand.errors import BadInput

app = typer.Typer(help="List, describe, check and download data sets.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        help="A data set's name (torchvision:NAME and hf:NAME name one of a collection), a TOML file that describes "
        "your own data, or a folder with one folder of images for each class."
    ),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the data set. Repeatable.")
]


def list_(json: Path | None = None, root: Path | None = None) -> int:
    """Print every data set's name and title, by kind."""
    check_writable(json)
    folder = data.default_root(root)
    rows = [(name, data.find(name)) for name in data.names()]
    pages.show_list(rows, folder)
    write_result(json, {"data": [pages.describe(name, found) for name, found in rows]})
    return 0


def info(name: str, root: Path | None = None, json: Path | None = None, options: dict[str, Any] | None = None) -> int:
    """Print what the data set is, where its files belong, its options, and its groups if the files are there.

    Images are listed and not decoded, unless a cache is asked for.
    """
    check_writable(json)
    options = dict(options or {})
    chosen = data.open_set(name, **{key: value for key, value in options.items() if key not in data.CHANGES})
    described = pages.describe(name, type(chosen))
    problem, loaded = "", None
    try:
        with decoding():
            loaded = data.load(name, root, **listing_options(chosen, options))
    except BadInput as error:
        if name not in data.names() and not chosen.steps:  # nothing to fetch: what was named is wrong
            raise
        problem = str(error)
    pages.show_facts(name, chosen, loaded)
    say("")
    if loaded is None:
        say("Not loaded", style="bold")
        say(problem)
        described |= {"present": False, "problem": problem}
    else:
        pages.show_groups(loaded)
        for note in loaded.notes:
            say(f"Note: {note}")
        described |= {"present": True, "rows": pages.rows_by_part(loaded), "groups": pages.groups(loaded)}
        described |= {"recommended": dict(loaded.recommended), "notes": list(loaded.notes)}
    write_result(json, described)
    return 0


def check(name: str, root: Path | None = None, json: Path | None = None, options: dict[str, Any] | None = None) -> int:
    """Compare the files with what is published; 1 if they differ."""
    check_writable(json)
    with decoding():
        differences = data.open_set(name, **(options or {})).check(data.default_root(root))
    for difference in differences:
        console().print(f"[red]✗[/] {escape(difference)}", highlight=False, soft_wrap=True)
    if not differences:
        console().print(f"[green]✓[/] {escape(name)}: all as it should be", highlight=False, soft_wrap=True)
    write_result(json, {"name": name, "ok": not differences, "differences": differences})
    return 1 if differences else 0


def fetch(name: str, root: Path | None = None, json: Path | None = None) -> int:
    """Download the data set's files from their official address, check and unpack them."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from evenhand.data import _fetch

    check_writable(json)
    chosen, folder = data.open_set(name), data.default_root(root)
    if not chosen.downloads:
        raise BadInput(f"{name} cannot be fetched: {how_else(chosen)}")
    if folder is None:
        raise BadInput(f"say where {name} should be kept: pass --root DIR or set EVENHAND_DATA")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        tasks = {download: bars.add_task(escape(download.path), total=None) for download in chosen.downloads}
        paths = _fetch.fetch(
            chosen.downloads, folder, lambda file, done, total: bars.update(tasks[file], completed=done, total=total)
        )
    for path in paths:
        console().print(escape(str(path)), highlight=False, soft_wrap=True)
    write_result(json, {"name": name, "files": [str(path) for path in paths]})
    return 0


def cache(remove: str | None = None, json: Path | None = None) -> int:
    """List the caches of decoded images, the one unused for longest first; or remove one of them, or all."""
    from evenhand.cli import _cache_pages
    from evenhand.files import without_nan
    from evenhand.inputs import cache as kept

    check_writable(json)
    removed, freed = [], 0
    if remove is None:
        _cache_pages.show(kept.caches(), kept.cache_folder())
    else:
        removed = [each.name for each in kept.caches()] if remove == "all" else [remove]
        freed = sum(kept.remove(name) for name in removed)
        _cache_pages.say_removed(removed, freed)
    left = [without_nan(asdict(each)) for each in kept.caches()]
    write_result(json, {"folder": str(kept.cache_folder()), "caches": left, "removed": removed, "freed": freed})
    return 0


def how_else(chosen: data.DataSet) -> str:
    """How to get what cannot be downloaded by us, in one paragraph."""
    steps = chosen.steps.splitlines()
    if steps:
        numbered = "; ".join(f"({number}) {step}" for number, step in enumerate(steps, 1))
        return f"its files must be got by hand. {numbered}"
    return f"get it from {chosen.homepage}" if chosen.folder else "it needs no download"


def listing_options(chosen: data.DataSet, options: dict[str, Any]) -> dict[str, Any]:
    """The options with which groups can be counted soonest: files are streamed, so that none is decoded now."""
    streamed = "cache" in chosen.option_names() and not options.keys() & {"cache", "skip_bad"}
    return {**options, "cache": "none"} if streamed else options


def of_data(texts: Sequence[str] | None, cache: str | None, skip_bad: bool) -> dict[str, Any]:
    """The options that `--set`, `--cache` and `--skip-bad` give; `data.KEY` is the same as `KEY`."""
    from evenhand.cli._choices import PREFIX, for_data

    return for_data([PREFIX + text.removeprefix(PREFIX) for text in texts or ()], cache, skip_bad)[0]


def console() -> Console:
    """Where readers are served at this moment (tests and callers may have redirected it)."""
    return Console(file=stream())


@app.command("list")
def _list(root: Root = None, json: Json = None) -> None:
    """Every data set by kind, and how to get it; those below the root are `here`."""
    raise typer.Exit(list_(json, root))


@app.command("info")
def _info(
    name: Name,
    *,
    root: Root = None,
    set_: Set = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
    json: Json = None,
) -> None:
    """What a data set is, where its files belong, its options, and how many rows each group has."""
    raise typer.Exit(info(name, root, json, of_data(set_, cache, skip_bad)))


@app.command("check")
def _check(
    name: Name,
    *,
    root: Root = None,
    set_: Set = None,
    cache: Cache = None,
    skip_bad: SkipBad = False,
    json: Json = None,
) -> None:
    """Compare the files with what is published; exit code 1 if they differ."""
    raise typer.Exit(check(name, root, json, of_data(set_, cache, skip_bad)))


@app.command("fetch")
def _fetch_command(name: Name, root: Root = None, json: Json = None) -> None:
    """Download a data set from its official address, resuming what broke off, and verify its checksum."""
    raise typer.Exit(fetch(name, root, json))


@app.command("cache")
def _cache(
    remove: Annotated[
        str | None, typer.Option(metavar="NAME|all", help="Delete this cache, or all; images are decoded anew at need.")
    ] = None,
    json: Json = None,
) -> None:
    """The caches of decoded images: of which folder, how large, when made and last used."""
    raise typer.Exit(cache(remove, json))
