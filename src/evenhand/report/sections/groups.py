"""Who is worst served: every group with its size, its accuracy and an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from evenhand.report.blocks import Block, Cell, Section, Table, Text
from evenhand.report.found import Found
from evenhand.report.pieces import count, interval, percent, share
from evenhand.study.comparison import Comparison, Entry
from evenhand.study.verdict import reference

Record = Mapping[str, Any]


def sections(found: Found) -> list[Section]:
    """The groups of the reference, worst first; of several methods each one's worst group, and all side by side."""
    if not found.compared or not found.compared["rows"]:
        return []
    blocks: list[Block] = []
    if found.comparison:
        blocks += _of_reference(found.comparison, found.compared)
    if len(found.compared["rows"]) > 1:
        blocks += _worst_groups(found.compared)
        if found.comparison:
            blocks.append(_side_by_side(found.comparison))
    return [Section("groups", "Who is worst served", tuple(blocks))] if blocks else []


def _of_reference(comparison: Comparison, compared: Record) -> list[Block]:
    row = reference(compared)
    assert row is not None
    entry = next(entry for entry in comparison.shown if entry.label == row["label"])
    groups = sorted(_groups(entry), key=lambda group: (group["accuracy"] is None, group["accuracy"] or 0.0))
    seeds = len(entry.finished)
    rows = []
    for number, group in enumerate(groups):
        worst = number == 0 and group["accuracy"] is not None and len(groups) > 1
        name = f"{group['group']} (worst)" if worst else group["group"]
        rows.append((
            Cell(name, mark="worst" if worst else ""),
            share(group["accuracy"], group["low"], group["high"], "worst" if worst else ""),
            interval(group["low"], group["high"]),
            *(count(group[part]) for part in ("test", "val", "train")),
        ))  # fmt: skip
    columns = ("group", "accuracy, %", "95 % interval", "test rows", "val", "train")
    caption = f"Accuracy of {entry.label} on each group"
    note = (
        "Accuracy on test; the line spans 0 to 100 %. Intervals are for the test rows drawn, each group for itself; "
        "that of the worst group in the summary is wider, as it accounts for choosing the minimum."
    )
    if seeds > 1:
        note += f" Means over {seeds} seeds; intervals are of the mean accuracy on the rows of one test set."
    return [Table(caption, columns, tuple(rows), (False, True, True, True, True, True)), Text((note,), "note")]


def _groups(entry: Entry) -> list[dict[str, Any]]:
    """Each group with means over seeds of accuracy and of the ends of its interval."""
    by_run = [run.metrics["groups"] for run in entry.finished]
    return [
        {**of_runs[0], **{key: _mean([group[key] for group in of_runs]) for key in ("accuracy", "low", "high")}}
        for of_runs in zip(*by_run, strict=True)
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def _worst_groups(compared: Record) -> list[Block]:
    rows = []
    for row in compared["rows"]:
        worst = row["worst_group"]
        rows.append((
            Cell(row["label"]), Cell(worst["group"]), share(worst["accuracy"], worst["low"], worst["high"]),
            interval(worst["low"], worst["high"]), count(worst["count"]),
        ))  # fmt: skip
    note = (
        "The group with the smallest mean accuracy over seeds; the 95 % interval is for the test rows drawn and "
        "accounts for taking the minimum over groups."
    )
    columns = ("method", "worst group", "accuracy, %", "95 % interval", "test rows")
    return [
        Table("Worst group of each method", columns, tuple(rows), (False, False, True, True, True)),
        Text((note,), "note"),
    ]


def _side_by_side(comparison: Comparison) -> Table:
    """Every method's accuracy on every group, folded."""
    by_label = {entry.label: _groups(entry) for entry in comparison.shown}
    names = [group["group"] for group in next(iter(by_label.values()))]
    rows = []
    for place, name in enumerate(names):
        values = [groups[place]["accuracy"] for groups in by_label.values()]
        rows.append((Cell(name), *(Cell(percent(value), value) for value in values)))
    columns = ("group", *by_label)
    numeric = (False, *(True for _ in by_label))
    return Table("Accuracy of every method on every group, %", columns, tuple(rows), numeric, folded=True)
