"""A paper's table beside our own runs: the printed figures, ours, and what choosing the epoch on test would give."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evenhand.data._changes import CHANGES
from evenhand.errors import BadInput, unknown
from evenhand.study import Contender, Progress, compare
from evenhand.study.classes import with_classes
from evenhand.study.comparison import MAIN, Comparison, Entry, Figure, Source
from evenhand.study.measures import THIRDS
from evenhand.study.papers import PaperStudy, PaperTable, Row, read, read_study

SCALES = ("full", "small")
PROTOCOL = ("select",)  # settings that go with the study, not with the data
OF_IMAGES = ("encoder", "widths", "weights", "augment", "pretrain", "pretrain_epochs", "pretrain_options")
BESIDE = ("seeds", "data_options", "options", "rows")  # what `small` holds beside settings


@dataclass(frozen=True)
class Reproduction:
    """A paper's table and the comparison that repeats it.

    Attributes:
        settings: those that were asked for; what they leave open is as the data set recommends.
        root: the folder that holds every data set, where one was named.
        path: the data set as it was asked for: its name, or the path of a file of one's own.
        counts: of a table without rows, which trains nothing: the `labels` of the data and the rows of each group in
            `train`, `val` and `test`.
    """

    table: PaperTable
    comparison: Comparison
    scale: str
    settings: Mapping[str, Any]
    root: str | Path | None = None
    path: str | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)

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


@dataclass(frozen=True)
class StudyReproduction:
    """A study and the parts of it that could be run.

    Attributes:
        missing: why the other parts were not run, by their label.
    """

    study: PaperStudy
    parts: tuple[Reproduction, ...]
    missing: Mapping[str, str] = field(default_factory=dict)


def reproduce_study(
    name: str, *, out: str | Path | None = None, data: str | None = None, scale: str = "full", **options: Any
) -> StudyReproduction:
    """Repeat everything that goes under the name of a table; takes what `reproduce` takes.

    Of several parts those whose data are not there are left out and named. With `data` the parts on just these data are
    run, or where there are none, all on these data, and parts that differ in nothing else are one. With `out` each of
    several parts has a folder of its own in it.

    Raises:
        BadInput, RunFailed: as `reproduce`; for several parts, if none of them can be run.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    study = read_study(name)
    if not study.several:
        return StudyReproduction(study, (reproduce_part(study.parts[0], out=out, data=data, scale=scale, **options),))
    found, missing, folders = [], {}, set()
    for part in [part for part in study.parts if part.data == data] or study.parts:
        folder = Path(out) / slug(part.part) if out is not None else default_out(part, data, scale)
        alike = str(default_out(part, data, scale))
        if alike in folders:
            continue
        folders.add(alike)
        try:
            found.append(reproduce_part(part, out=folder, data=data, scale=scale, **options))
        except BadInput as error:
            missing[part.part] = str(error)
    if not found:
        raise BadInput(f"no part of {name} can be run; {next(iter(missing.values()))}")
    return StudyReproduction(study, tuple(found), missing)


def reproduce(name: str, *, scale: str = "full", **options: Any) -> Reproduction:
    """Repeat a table of a paper (of several parts the first): see `reproduce_part`."""
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    return reproduce_part(read(name), scale=scale, **options)


def reproduce_part(
    table: PaperTable,
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
        data: another data set or TOML file to repeat the study on, with the settings that it recommends and the table's
            rule of selection.
        scale: `full` as in the paper, or `small` for a quick look.

    Raises:
        BadInput, RunFailed: as `study.compare`; also for an unknown table or scale.
    """
    if not table.rows:
        return _counted(table, root, data, scale)
    own = data in (None, table.data)
    settings = {key: value for key, value in table.settings.items() if own or key in PROTOCOL}
    n_seeds, contenders = table.seeds, list(table.contenders)
    if scale == "small":
        small = {key: value for key, value in table.small.items() if key not in BESIDE}
        settings |= small if own else {"epochs": small["epochs"]}
        n_seeds = table.small["seeds"]
        contenders = [_smaller(contender, table.small, own=own) for contender in contenders]
    contenders = contenders if own or data is None else _fitting(contenders, data, table.reference)
    comparison = compare(
        data or table.data, contenders, out=out or default_out(table, data, scale),
        seeds=n_seeds if seeds is None else seeds, root=root, settings=settings,
        data_options=data_options(table, data, scale), oracle=True, track=table.track, reference=table.reference,
        n_workers=n_workers, on_progress=on_progress,
    )  # fmt: skip
    if set(table.metrics) & set(THIRDS):
        comparison = with_classes(comparison)
    return Reproduction(table, comparison, scale, settings, root, data or table.data)


def _counted(table: PaperTable, root: str | Path | None, data: str | None, scale: str) -> Reproduction:
    """What is in the data of a table without rows."""
    from evenhand import data as data_sets
    from evenhand import runs

    loaded = data_sets.load(data or table.data, root, **data_options(table, data, scale))
    counts = {"labels": runs.labels(loaded.train)} | {part: each.tolist() for part, each in loaded.count_G.items()}
    return Reproduction(table, Comparison(loaded.name, (), ()), scale, {}, root, data or table.data, counts)


def _smaller(contender: Contender, small: Mapping[str, Any], *, own: bool) -> Contender:
    """The row at small scale."""
    options = small.get("options", {}).get(contender.method, {}) if own else {}
    kept = {key: value for key, value in contender.settings.items() if key not in small}
    special = small.get("rows", {}).get(contender.label, {})
    return replace(contender, options={**options, **contender.options}, settings=kept | special)


def _fitting(contenders: list[Contender], data: str, reference: str) -> list[Contender]:
    """The rows that other data can be trained on: networks and augmentations of images are for images only.

    On other data each row has the network that the data set recommends; rows that then are the same are one, of which
    the reference stays, or else the first.
    """
    from evenhand import data as data_sets

    chosen = data_sets.open_set(data)
    if chosen.kind == "images" or "augment" in chosen.option_names():
        return contenders
    found: dict[str, Contender] = {}
    for each in sorted(contenders, key=lambda each: each.name != reference):
        settings = {key: value for key, value in each.settings.items() if key not in OF_IMAGES}
        found.setdefault(f"{each.method} {dict(each.options)} {settings}", replace(each, settings=settings))
    return [kept for each in contenders for kept in found.values() if kept.name == each.name]


def default_out(table: PaperTable, data: str | None = None, scale: str = "full") -> Path:
    """`runs/DATA`, with the data's options if there are any, so that tables on the same data use the same runs."""
    chosen = [f"{key}-{value}" for key, value in sorted(data_options(table, data, scale).items())]
    return Path("runs") / slug("-".join([Path(data or table.data).stem, *chosen]))


def data_options(table: PaperTable, data: str | None, scale: str) -> dict[str, Any]:
    """The options of the table's data at this scale; of other data only those that every data set takes."""
    options = {**table.data_options, **(table.small.get("data_options", {}) if scale == "small" else {})}
    own = data in (None, table.data)
    return {key: value for key, value in options.items() if own or key in CHANGES}


def slug(text: str) -> str:
    """The text as a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", text).strip("-")
