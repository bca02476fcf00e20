"""What `evenhand data` says of data sets: for machines as dictionaries, for readers as pages."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from evenhand import data
from evenhand.cli._output import console, say
from evenhand.cli.methods import type_text
from evenhand.data._base import Kind

if TYPE_CHECKING:
    from evenhand.batch import Split

HEADINGS: dict[Kind, str] = {
    "table": "Tables",
    "images": "Images",
    "text": "Texts",
    "own": "Your own data, and collections",
}
KEYS = {  # what a TOML file may say, by the data set that reads it
    "csv": ("evenhand.data._description", "Description"),
    "images": ("evenhand.data._image_description", "ImageDescription"),
    "text": ("evenhand.data.text", "TextDescription"),
}
MOST_GROUPS, SHOWN = 40, 6  # with more groups than that, so many of the smallest and of the largest are shown


def source(found: type[data.DataSet]) -> str:
    """Where the files come from, in a word or two."""
    if found.downloads:
        return "fetch"
    if found.folder or found.steps:
        return "by hand"
    return "" if found.kind == "own" else "built in"


def is_there(found: type[data.DataSet], root: Path | None) -> bool:
    """Whether the data set's folder is below the root."""
    if root is None or not found.folder:
        return False
    return any((root / folder).is_dir() for folder in (found.folder, *found.other_folders))


def describe(name: str, found: type[data.DataSet]) -> dict[str, Any]:
    """A data set for machines, without opening any file."""
    plain = ("kind", "title", "licence", "homepage", "folder")
    return {
        "name": name,
        **{key: getattr(found, key) for key in plain},
        "files": [f"{found.folder}/{file}" for file in found.files],
        "urls": [download.url for download in found.downloads],
        "steps": found.steps.splitlines(),
        "options": options(found),
        "recommended": dict(found.recommended),
    }


def options(found: type[data.DataSet]) -> list[dict[str, Any]]:
    """What can be chosen of a data set, beside what its name says."""
    return [entry for entry in entries(found) if entry["name"] not in ("item", "path")]


def entries(found: type) -> list[dict[str, Any]]:
    """The fields of a class: name, values, default and meaning; what the class itself declares first."""
    hints, texts = get_type_hints(found), meanings(found)
    own = [field for field in fields(found) if field.name in vars(found).get("__annotations__", {})]
    listed = [*own, *(field for field in fields(found) if field not in own)]
    return [
        {
            "name": field.name,
            "values": "a table of settings" if field.name == "training" else type_text(hints[field.name]),
            "default": "" if field.default is MISSING else field.default,
            "meaning": texts.get(field.name, ""),
        }
        for field in listed
    ]


def meanings(found: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each attribute."""
    texts: dict[str, str] = {}
    for cls in reversed(found.__mro__):
        section = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")[2]
        for line in section.splitlines():
            if entry := re.match(r" {4}(\w+): (.*)", line):
                name, text = entry.groups()
                texts[name] = text
            elif line.startswith(" " * 8):
                texts[name] += " " + line.strip()
            elif line.strip():
                break
    return {name: text.replace("`", "") for name, text in texts.items()}


# Pages


def show_list(rows: Sequence[tuple[str, type[data.DataSet]]], root: Path | None) -> None:
    """Every data set under the heading of its kind."""
    name_width, title_width = max(len(name) for name, _ in rows), max(len(found.title) for _, found in rows)
    for kind, heading in HEADINGS.items():
        say(heading, style="bold")
        for name, found in rows:
            if found.kind == kind:
                how = "here" if is_there(found, root) else source(found)
                line(f"{name:{name_width}}  {found.title:{title_width}}  {how}")
        say("")
    line("fetch: `evenhand data fetch NAME --root DIR` downloads it")
    line("by hand: `evenhand data info NAME` says how to get it")


def show_facts(name: str, chosen: data.DataSet, loaded: data.Data | None) -> None:
    """What a data set is, where its files belong, how to get them, and its options."""
    say(name, style="bold")
    say(chosen.title)
    say("")
    show_pairs(facts(name, chosen, loaded))
    if name in KEYS:
        module, described = KEYS[name]
        say("")
        say("Keys of the TOML file", style="bold")
        show_pairs({each["name"]: option_text(each) for each in entries(getattr(import_module(module), described))})
    listed = options(type(chosen))
    if listed:
        say("")
        also = ", or keys of the TOML file" if name in KEYS else ""
        say(f"Options: --set KEY=VALUE here, --set data.KEY=VALUE where models are trained{also}", style="bold")
        show_pairs({each["name"]: option_text(each) for each in listed})


def facts(name: str, chosen: data.DataSet, loaded: data.Data | None) -> dict[str, str]:
    """What is said of any data set, loaded or not."""
    recommended = loaded.recommended if loaded else chosen.recommended
    found = {"about": summary(type(chosen)), "licence": chosen.licence, "homepage": chosen.homepage}
    if chosen.folder:
        found["files"] = "\n".join(f"ROOT/{chosen.folder}/{file}" for file in chosen.files or ("",))
        if chosen.other_folders:
            found["files"] += f"\nthe folder may also be called {', '.join(chosen.other_folders)}"
    if chosen.downloads:
        found["fetch"] = f"evenhand data fetch {name} --root ROOT"
    elif steps := chosen.steps.splitlines():
        found["how to get it"] = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    found["training"] = ", ".join(f"{key} {value}" for key, value in recommended.items())
    return {heading: text for heading, text in found.items() if text}


def summary(found: type[data.DataSet]) -> str:
    """The docstring of a data set up to its attributes, a paragraph a line."""
    text = inspect.cleandoc(found.__doc__ or "").partition("\nAttributes:")[0]
    return "\n".join(" ".join(part.split()) for part in text.split("\n\n")).replace("`", "").strip()


def option_text(option: Mapping[str, Any]) -> str:
    """Values, default and meaning of an option, on two lines."""
    default = "" if option["default"] in ((), "") else option["default"]
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    if isinstance(default, bool) or default is None:
        default = str(default).lower()
    return f"{option['values']}" + (f" (default {default})" if default != "" else "") + f"\n{option['meaning']}"


def show_pairs(pairs: Mapping[str, str]) -> None:
    """Headings with the texts beside them, wrapped for a terminal."""
    from rich.text import Text

    indent = max(map(len, pairs)) + 2
    width = console().width
    for heading, text in pairs.items():
        wrapped = [
            piece
            for part in text.split("\n")
            for piece in textwrap.wrap(part, max(width - indent, 20), break_long_words=False, break_on_hyphens=False)
        ]
        for number, piece in enumerate(wrapped or [""]):
            left = "" if number else heading
            console().print(Text.assemble((left, "bold"), " " * (indent - len(left)), piece), soft_wrap=True)


def line(text: str) -> None:
    """A line without blanks at its end, which the terminal may wrap."""
    console().print(text.rstrip(), soft_wrap=True)


# Groups


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


def show_groups(loaded: data.Data) -> None:
    """Rows of each group in each part, and its share of train; of many groups the smallest and the largest."""
    from evenhand.cli import _tables
    from evenhand.study.tables import Table

    described, total = groups(loaded), rows_by_part(loaded)
    heads = tuple(described[0]["values"])
    gap: tuple[tuple[str, ...], ...] = ()
    shown, title = described, "Rows by group"
    if len(described) > MOST_GROUPS:
        order = sorted(described, key=lambda group: (group["count"]["train"], group["group"]))
        shown, title = [*order[:SHOWN], *order[-SHOWN:]], f"Rows by group: the smallest and largest of {len(described)}"
        gap = (("…", *[""] * (len(heads) + len(total))),)
    rows = [group_row(group, total["train"]) for group in shown]
    half = len(rows) if not gap else SHOWN
    footer = ("all", *[""] * (len(heads) - 1), *map(str, total.values()), "")
    columns = (*heads, *total, "of train")
    texts = tuple(range(len(heads)))
    _tables.show([Table(title, columns, (*rows[:half], *gap, *rows[half:], footer), text_columns=texts)])


def group_row(group: Mapping[str, Any], n_train: int) -> tuple[str, ...]:
    """Values, counts and share of one group."""
    share = group["count"]["train"] / n_train
    return (*group["values"].values(), *map(str, group["count"].values()), f"{share:.1%}")
