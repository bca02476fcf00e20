"""How training went: the worst group by epoch, and every group of every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean
from typing import Any

from evenhand.plots import lines
from evenhand.report.blocks import Block, Chart, Charts, Section, Text
from evenhand.report.found import Found
from evenhand.report.pieces import by_epoch, charted, room
from evenhand.runs import Run
from evenhand.study.comparison import Comparison, Entry

Curve = list[float | None]

MOST_GROUPS = 7  # that have a line of their own
MOST_PANELS = 12


def sections(found: Found) -> list[Section]:
    """Accuracy on validation by epoch, mean over seeds: the worst group of each method, then all groups of each."""
    comparison = found.comparison
    if comparison is None or not any(len(run.history) > 1 for run in found.runs):
        return []
    shown = _shown_groups(comparison)
    blocks: list[Block] = [_single(comparison.shown[0], shown)]
    if len(comparison.shown) > 1:
        blocks = [_worst(comparison), _panels(comparison, shown)]
    seeds = len(comparison.seeds)
    note = "On validation, by which the epoch is chosen" + (f"; means over {seeds} seeds." if seeds > 1 else ".")
    n_groups = len(comparison.groups())
    if len(shown) < n_groups:
        note += f" The {len(shown)} of {n_groups} groups with the lowest accuracy on test are shown."
    if len(comparison.shown) > MOST_PANELS:
        note += f" All groups are shown of the first {MOST_PANELS} of {len(comparison.shown)} methods."
    return [Section("training", "How training went", (*blocks, Text((note,), "note")))]


def _worst(comparison: Comparison) -> Chart:
    curves = {entry.label: _mean([_worst_of(run) for run in entry.finished]) for entry in comparison.shown}
    figure = lines(curves, x_title="epoch", y_title="worst group, % right", yaxis_range=_range(curves))
    last = {label: curve[-1] for label, curve in curves.items() if curve and curve[-1] is not None}
    ahead = max(last, key=lambda label: last[label] or 0.0) if last else "no method"
    alt = f"Accuracy of the worst group on validation by epoch, a line for each method; {ahead} ends highest."
    table = by_epoch("Accuracy of the worst group on validation, %", curves)
    return charted("Worst group by epoch", figure, alt, table, height=room(curves, 420))


def _single(entry: Entry, shown: Sequence[int]) -> Chart:
    curves = _of_groups(entry, shown)
    figure = lines(curves, x_title="epoch", y_title="% right", yaxis_range=_range(curves))
    alt = f"Accuracy of each group on validation by epoch of {entry.label}."
    table = by_epoch("Accuracy on validation, %", curves)
    return charted("Every group by epoch", figure, alt, table, height=room(curves, 420))


def _panels(comparison: Comparison, shown: Sequence[int]) -> Charts:
    charts = []
    names = [comparison.groups()[number]["group"] for number in shown]
    found = {entry.label: _of_groups(entry, shown) for entry in comparison.shown[:MOST_PANELS]}
    limits = _range({f"{label} {name}": curve for label, curves in found.items() for name, curve in curves.items()})
    for label, curves in found.items():
        figure = lines(curves, x_title="epoch", yaxis_range=limits).update_layout(showlegend=False)
        table = by_epoch(f"Accuracy on validation of {label}, %", curves)
        alt = f"Accuracy of each group on validation by epoch of {label}."
        charts.append(charted(label, figure, alt, table, height=230))
    return Charts("Every group by epoch, % right", tuple(charts), tuple(zip(names, range(len(names)), strict=True)))


def _shown_groups(comparison: Comparison) -> list[int]:
    """The groups with lines: all, or those that the reference is worst at; in their order."""
    entry = next(entry for entry in comparison.shown if entry.label == comparison.reference)
    groups = entry.finished[0].metrics["groups"]
    order = sorted(range(len(groups)), key=lambda g: (groups[g]["accuracy"] is None, groups[g]["accuracy"] or 0.0))
    return sorted(order[:MOST_GROUPS])


def _of_groups(entry: Entry, shown: Sequence[int]) -> dict[str, Curve]:
    names = [group["group"] for group in entry.finished[0].metrics["groups"]]
    return {names[g]: _mean([_of_group(run, g) for run in entry.finished]) for g in shown}


def _of_group(run: Run, g: int) -> Curve:
    return [_percent(_at(record["val"], g)) for record in run.history]


def _at(figures: Mapping[str, Any], g: int) -> float | None:
    accuracy = figures["accuracy"]
    return accuracy[g] if g < len(accuracy) else None


def _worst_of(run: Run) -> Curve:
    known = [[value for value in record["val"]["accuracy"] if value is not None] for record in run.history]
    return [_percent(min(values)) if values else None for values in known]


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 3)


def _mean(curves: Sequence[Curve]) -> Curve:
    """The mean over seeds at each epoch, of those that reach it."""
    found = [[value for value in at if value is not None] for at in zip_longest(*curves)]
    return [fmean(values) if values else None for values in found]


def _range(curves: Mapping[str, Curve]) -> list[float]:
    lowest = min((value for curve in curves.values() for value in curve if value is not None), default=0.0)
    return [max(0.0, 10 * (lowest // 10) - 2), 101.0] if lowest > 10 else [0.0, 101.0]
