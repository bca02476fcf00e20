"""`evenhand data`: which data sets there are, what is in them, whether the files are right, and how to get them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evenhand import data
from evenhand.cli import _progress
from evenhand.cli._arguments import Json, Root
from evenhand.cli._output import check_writable, stream, write_result
from evenhand.errors import BadInput

if TYPE_CHECKING:
    from evenhand.batch import Split

app = typer.Typer(help="List, describe, check and download data sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A data set's name, or a TOML file that describes your own table.")]


def list_(json: Path | None = None) -> int:
    """Print every data set's name and title."""
    check_writable(json)
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "data set", "files"):
        table.add_column(heading, overflow="fold")
    rows = [(name, data.find(name)) for name in data.names()]
    for name, found in rows:
        table.add_row(name, found.title, source(found))
    console().print(table)
    write_result(json, {"data": [describe(name, found) for name, found in rows]})
    return 0


def info(name: str, root: Path | None = None, json: Path | None = None) -> int:
    """Print what the data set is, where its files belong, and its groups if the files are there."""
    check_writable(json)
    chosen = data.open_set(name)
    described = describe(name, type(chosen))
    problem, loaded = "", None
    try:
        with _progress.decoding():
            loaded = data.load(name, root)
    except BadInput as error:
        if not chosen.folder:  # nothing to fetch: what was named is wrong
            raise
        problem = str(error)
    page = Table(box=None, show_header=False, pad_edge=False)
    page.add_column(style="bold", no_wrap=True)
    page.add_column(overflow="fold")
    for heading, text in facts(name, chosen, loaded).items():
        page.add_row(heading, escape(text))
    console().print(page)
    console().print()
    if loaded is None:
        console().print(f"[bold]not loaded[/]  {escape(problem)}", highlight=False)
        described |= {"present": False, "problem": problem}
    else:
        console().print(group_table(loaded))
        described |= {"present": True, "rows": rows_by_part(loaded), "groups": groups(loaded)}
        described["recommended"] = dict(loaded.recommended)
    write_result(json, described)
    return 0


def check(name: str, root: Path | None = None, json: Path | None = None) -> int:
    """Compare the files with what is published; 1 if they differ."""
    check_writable(json)
    with _progress.decoding():
        differences = data.open_set(name).check(data.default_root(root))
    for difference in differences:
        console().print(f"[red]✗[/] {escape(difference)}", highlight=False, soft_wrap=True)
    if not differences:
        console().print(f"[green]✓[/] {escape(name)}: all as it should be", highlight=False)
    write_result(json, {"name": name, "ok": not differences, "differences": differences})
    return 1 if differences else 0


def fetch(name: str, root: Path | None = None, json: Path | None = None) -> int:
    """Download the data set's files from their official address and check them."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from evenhand.data import _fetch

    check_writable(json)
    chosen, folder = data.open_set(name), data.default_root(root)
    if not chosen.downloads:
        why = f"get it from {chosen.homepage}" if chosen.folder else "it needs no download"
        raise BadInput(f"{name} cannot be fetched: {why}")
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


def facts(name: str, chosen: data.DataSet, loaded: data.Data | None) -> dict[str, str]:
    """What `info` says of any data set, loaded or not."""
    recommended = loaded.recommended if loaded else chosen.recommended
    found = {"title": chosen.title, "licence": chosen.licence, "homepage": chosen.homepage}
    if chosen.folder:
        found["files"] = "\n".join(f"ROOT/{chosen.folder}/{file}" for file in chosen.files)
    if chosen.downloads:
        found["fetch"] = f"evenhand data fetch {name} --root ROOT"
    found["training"] = ", ".join(f"{key} {value}" for key, value in recommended.items())
    return {heading: text for heading, text in found.items() if text}


def describe(name: str, found: type[data.DataSet]) -> dict[str, Any]:
    """A data set for machines, without opening any file."""
    plain = ("title", "licence", "homepage", "folder")
    return {
        "name": name,
        **{key: getattr(found, key) for key in plain},
        "files": [f"{found.folder}/{file}" for file in found.files],
        "urls": [download.url for download in found.downloads],
        "options": list(found.option_names()),
        "recommended": dict(found.recommended),
    }


def source(found: type[data.DataSet]) -> str:
    """Where the files come from, in a few words."""
    if not found.folder:
        return "none to get"
    return f"{found.folder}/ (fetch)" if found.downloads else f"{found.folder}/ (by hand)"


def rows_by_part(loaded: data.Data) -> dict[str, int]:
    """How many rows each part has."""
    return {part: int(count_G.sum()) for part, count_G in loaded.count_G.items()}


def groups(loaded: data.Data) -> list[dict[str, Any]]:
    """Each group by the values that make it up, with its rows in every part."""
    count = {part: count_G.tolist() for part, count_G in loaded.count_G.items()}
    return [
        {"group": g, "values": values, "count": {part: count[part][g] for part in count}}
        for g, values in enumerate(group_values(loaded.train))
    ]


def group_values(split: Split) -> list[dict[str, str]]:
    """For each group the value of the label and of each attribute, in words."""
    from itertools import product

    heads = [split.label_name, *split.attribute_names]
    classes = split.class_names or tuple(map(str, range(split.n_classes)))
    return [dict(zip(heads, values, strict=True)) for values in product(classes, *split.attribute_values)]


def group_table(loaded: data.Data) -> Table:
    """Rows of each group in each part, and the group's share of train."""
    table = Table(title="rows by group", title_justify="left", title_style="bold", show_footer=True)
    described = groups(loaded)
    total = rows_by_part(loaded)
    for k, head in enumerate(described[0]["values"]):
        table.add_column(escape(head), footer="" if k else "all", overflow="fold")
    for part, count in total.items():
        table.add_column(part, footer=str(count), justify="right", no_wrap=True)
    table.add_column("of train", justify="right", no_wrap=True)
    for group in described:
        share = group["count"]["train"] / total["train"]
        cells = [*map(escape, group["values"].values()), *map(str, group["count"].values()), f"{share:.1%}"]
        table.add_row(*cells)
    return table


def console() -> Console:
    """Where readers are served at this moment (tests and callers may have redirected it)."""
    return Console(file=stream())


@app.command("list")
def _list(json: Json = None) -> None:
    """Every data set, with where its files come from."""
    raise typer.Exit(list_(json))


@app.command("info")
def _info(name: Name, root: Root = None, json: Json = None) -> None:
    """What a data set is, where its files belong, and how many rows each group has."""
    raise typer.Exit(info(name, root, json))


@app.command("check")
def _check(name: Name, root: Root = None, json: Json = None) -> None:
    """Compare the files with what is published; exit code 1 if they differ."""
    raise typer.Exit(check(name, root, json))


@app.command("fetch")
def _fetch_command(name: Name, root: Root = None, json: Json = None) -> None:
    """Download a data set from its official address, resuming what broke off, and verify its checksum."""
    raise typer.Exit(fetch(name, root, json))
