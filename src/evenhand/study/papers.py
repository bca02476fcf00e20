"""Tables of papers, one TOML file each: what was trained on what, with which settings, and the figures printed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from evenhand.errors import unknown
from evenhand.study import Contender
from evenhand.study.comparison import Figure
from evenhand.study.measures import MEASURES

FOLDER = files("evenhand") / "papers"


@dataclass(frozen=True)
class Row:
    """A row of a paper's table; `paper` is empty for a row that we add, `settings` go above those of the table."""

    label: str
    method: str
    options: Mapping[str, Any]
    paper: Mapping[str, Figure]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def contender(self) -> Contender:
        return Contender(self.method, self.options, self.label, self.settings)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper, or one part of a table that shows the same methods on several data.

    Attributes:
        part: what is special of this part, such as the data or an imbalance; empty where there is one only.
        data: what it is reproduced on, unless another data set is asked for.
        paper_data: what the paper's figures are on; levels can be compared only where the two are the same.
        data_options: of `data`, such as which target; another data set is read by default.
        settings: training settings for `data`; another data set is trained on as it recommends.
        seeds: how many.
        small: what `--scale small` puts in the place of settings and seeds; its `data_options` go above those of the
            table, its `options` below those of the rows of the methods that they name, and its `rows` are settings of
            the rows with these labels, in the place of what the row itself says of a setting that `small` names.
        reference: label of the row that the others are compared with; empty for ERM.
        track: what is recorded in every epoch, see `evenhand.plan`; empty for nothing.
    """

    name: str
    title: str
    source: str
    data: str
    paper_data: str
    metrics: tuple[str, ...]
    seeds: int
    settings: Mapping[str, Any]
    small: Mapping[str, Any]
    rows: tuple[Row, ...]
    reference: str = ""
    data_options: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    track: str = ""

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The rows as they are trained."""
        return tuple(row.contender for row in self.rows)


@dataclass(frozen=True)
class PaperStudy:
    """Everything that goes under the name of one table.

    Attributes:
        parts: the table, or its parts in order.
        across: what is said of all parts together: `ranks` of the methods, averaged, or the `trend` of their
            differences to the reference.
        ranks: the paper's average ranks, by the row's label and a heading under which some parts are averaged.
        headings: for each of these headings the parts that belong to it.
        figure: the kind of figure that is drawn of the runs, see `evenhand.study.figures`; empty for tables alone.
        figure_options: of that kind.
    """

    name: str
    title: str
    source: str
    parts: tuple[PaperTable, ...]
    across: tuple[str, ...] = ()
    ranks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    headings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    figure: str = ""
    figure_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether there is more than one part."""
        return len(self.parts) > 1


@cache
def names() -> tuple[str, ...]:
    """The names of all tables, numbers in order."""
    found = [path.name.removesuffix(".toml") for path in FOLDER.iterdir() if path.name[-5:] == ".toml"]
    return tuple(sorted(found, key=_with_number))


def read_study(name: str) -> PaperStudy:
    """What goes under this name.

    In the file, `[[parts]]` each have a label, data and options of their own, and settings above those of the table;
    the rows are the same in all, but where a part names the `only` ones that it has, with the paper's figures below the
    part's label.

    Raises:
        BadInput: there is none; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("table", name, names())
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    across = {key: content.pop(key, default) for key, default in (("across", ()), ("ranks", {}), ("headings", {}))}
    figure, figure_options = content.pop("figure", ""), content.pop("figure_options", {})
    written = content.pop("parts", None)
    contents = [content] if written is None else [_part_of(content, part) for part in written]
    parts = [_table(name, each) for each in contents]
    return PaperStudy(
        name, content["title"], content["source"], tuple(parts), tuple(across["across"]), across["ranks"],
        {heading: tuple(labels) for heading, labels in across["headings"].items()}, figure, figure_options,
    )  # fmt: skip


def read(name: str) -> PaperTable:
    """The table of this name, or the first part of it."""
    return read_study(name).parts[0]


def _part_of(content: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The content of one part: what it says of itself above what the table says of all."""
    own = dict(part)
    label, only = own.pop("label"), own.pop("only", None)
    rows = [
        row | {"paper": row.get("paper", {}).get(label, {})}
        for row in content["rows"]
        if only is None or row["label"] in only
    ]
    merged = {key: {**content.get(key, {}), **own.pop(key, {})} for key in ("settings", "small", "data_options")}
    return {**content, **own, **merged, "rows": rows, "part": label}


def _table(name: str, content: Mapping[str, Any]) -> PaperTable:
    rows = tuple(
        Row(
            row["label"], row["method"], row.get("options", {}), _figures(row.get("paper", {})), row.get("settings", {})
        )
        for row in content["rows"]
    )
    return PaperTable(**{
        "paper_data": content["data"], **content, "name": name, "metrics": tuple(content["metrics"]), "rows": rows
    })  # fmt: skip


def _figures(printed: Mapping[str, list[float]]) -> dict[str, Figure]:
    return {
        metric: Figure(*(round(value / MEASURES[metric].scale, 6) for value in mean_sd), *[None] * (2 - len(mean_sd)))
        for metric, mean_sd in printed.items()
    }


def _with_number(name: str) -> tuple[str, int]:
    text = name.rstrip("0123456789")
    return text, int(name[len(text) :] or 0)
