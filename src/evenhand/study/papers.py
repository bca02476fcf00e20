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
    """A row of a paper's table; `paper` is empty for a row that we add."""

    label: str
    method: str
    options: Mapping[str, Any]
    paper: Mapping[str, Figure]

    @property
    def contender(self) -> Contender:
        return Contender(self.method, self.options, self.label)


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        data: what it is reproduced on, unless another data set is asked for.
        paper_data: what the paper's figures are on; levels can be compared only where the two are the same.
        data_options: of `data`, such as which target; another data set is read by default.
        settings: training settings for `data`; another data set is trained on as it recommends.
        seeds: how many.
        small: what `--scale small` puts in the place of settings and seeds; its `data_options` go above those of the
            table, and its `options` above those of the methods that they name.
        reference: label of the row that the others are compared with; empty for ERM.
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


@cache
def names() -> tuple[str, ...]:
    """The names of all tables, numbers in order."""
    found = [path.name.removesuffix(".toml") for path in FOLDER.iterdir() if path.name[-5:] == ".toml"]
    return tuple(sorted(found, key=_with_number))


def read(name: str) -> PaperTable:
    """The table of this name.

    Raises:
        BadInput: there is none; the message suggests the nearest.
    """
    if name not in names():
        raise unknown("table", name, names())
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    rows = tuple(
        Row(row["label"], row["method"], row.get("options", {}), _figures(row.get("paper", {})))
        for row in content.pop("rows")
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
