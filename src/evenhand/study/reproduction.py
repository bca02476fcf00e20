"""A paper's table beside our own runs: the printed figures, ours, and what choosing the epoch on test would give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evenhand.errors import unknown
from evenhand.study import Progress, compare
from evenhand.study.comparison import MAIN, Comparison, Entry, Figure, Source
from evenhand.study.papers import PaperTable, Row, read

SCALES = ("full", "small")


@dataclass(frozen=True)
class Reproduction:
    """A paper's table and the comparison that repeats it.

    Attributes:
        settings: those that were asked for; what they leave open is as the data set recommends.
    """

    table: PaperTable
    comparison: Comparison
    scale: str
    settings: Mapping[str, Any]

    @property
    def comparable(self) -> bool:
        """Whether levels can be compared: the paper's figures are on the same data."""
        return self.comparison.data == self.table.paper_data

    @property
    def rows(self) -> list[tuple[Row, Entry]]:
        """The rows with at least one finished run."""
        entries = {entry.label: entry for entry in self.comparison.shown}
        return [(row, entries[row.label]) for row in self.table.rows if row.label in entries]

    def figure(self, entry: Entry, metric: str, source: Source = "test") -> Figure:
        """Our mean and sd over seeds; the sd of one seed is None."""
        return Figure.over(entry.values(metric, source))

    def oracle_gap(self, entry: Entry, metric: str = MAIN) -> float:
        """How much choosing the epoch on test adds to our mean."""
        return self.figure(entry, metric, "oracle").mean - self.figure(entry, metric).mean


def reproduce(
    name: str,
    *,
    out: str | Path | None = None,
    root: str | Path | None = None,
    data: str | None = None,
    scale: str = "full",
    seeds: int | None = None,
    n_workers: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Reproduction:
    """Repeat a table of a paper: train what is missing, put the paper's figures beside ours.

    Args:
        out: where runs are kept; see `default_out`. Tables on the same data share their runs.
        data: another data set or TOML file to repeat the study on, with the settings that it recommends.
        scale: `full` as in the paper, or `small` for a quick look.

    Raises:
        BadInput, RunFailed: as `study.compare`; also for an unknown table or scale.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    table = read(name)
    own = data in (None, table.data)
    settings, of_data = (dict(table.settings), data_options(table, scale)) if own else ({}, {})
    n_seeds, contenders = table.seeds, [row.contender for row in table.rows]
    if scale == "small":
        small = dict(table.small)
        n_seeds = small.pop("seeds")
        small.pop("data_options", None)
        options = small.pop("options", {})
        contenders = [replace(c, options={**c.options, **options.get(c.method, {})}) for c in contenders]
        settings |= small
    comparison = compare(
        data or table.data, contenders, out=out or default_out(table, data, scale),
        seeds=n_seeds if seeds is None else seeds, root=root, settings=settings, data_options=of_data, oracle=True,
        reference=table.reference, n_workers=n_workers, on_progress=on_progress,
    )  # fmt: skip
    return Reproduction(table, comparison, scale, settings)


def default_out(table: PaperTable, data: str | None = None, scale: str = "full") -> Path:
    """`runs/DATA`, with the data's options if there are any, so that tables on the same data use the same runs."""
    of_data = data_options(table, scale) if data in (None, table.data) else {}
    chosen = [f"{key}-{value}" for key, value in sorted(of_data.items())]
    return Path("runs") / "-".join([Path(data or table.data).stem.replace(":", "-"), *chosen])


def data_options(table: PaperTable, scale: str) -> dict[str, Any]:
    """The options of the table's own data set at this scale."""
    return {**table.data_options, **(table.small.get("data_options", {}) if scale == "small" else {})}
