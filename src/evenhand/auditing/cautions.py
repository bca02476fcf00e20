"""What a reader must know before believing a figure: small groups, empty ones, one class only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from evenhand.auditing.level import Audited
from evenhand.auditing.output import words
from evenhand.auditing.reading import values
from evenhand.metrics.detectable import detectable_gap, size_warning

NOTICEABLE = 0.1  # a gap in accuracy that an audit should be able to see
MOST_NAMED = 5


def cautions(record: dict[str, Any], audited: Audited) -> list[str]:
    """Warnings in plain words; adds to every group the smallest gap to the others that its size lets one see."""
    add_detectable_gaps(record, audited.confidence)
    found = []
    empty = [words.group(group["group"]) for group in record["groups"] if not group["count"]]
    if empty:
        found.append(f"{_several(len(empty), 'group')} without rows: {_named(empty)}; nothing is known about them")
    blind = [group for group in record["groups"] if group["count"] and not _seen(group)]
    found += [
        f"{words.group(group['group'])}: {size_warning(group['count'], group['detectable_gap'])}"
        for group in blind[:MOST_NAMED]
    ]
    if len(blind) > MOST_NAMED:
        more = len(blind) - MOST_NAMED
        verb = "is" if more == 1 else "are"
        found.append(f"{_several(more, 'more group')} {verb} too small to show a gap of {100 * NOTICEABLE:.0f} points")
    return [*_about_classes(audited), *found]


def add_detectable_gaps(record: dict[str, Any], confidence: float) -> None:
    """`detectable_gap` of every group against all other rows: below it, most true gaps would be missed."""
    groups = [group for group in (*record["groups"], *record["marginals"]) if 0 < group["count"] < record["rows"]]
    for group in (*record["groups"], *record["marginals"]):
        group["detectable_gap"] = math.nan
    if not groups:
        return
    n = np.array([group["count"] for group in groups])
    right = np.array([group["accuracy"] * group["count"] for group in groups])
    rest = record["rows"] - n
    accuracy_rest = np.clip((record["overall"]["accuracy"] * record["rows"] - right) / rest, 0, 1)
    for group, gap in zip(groups, detectable_gap(n, rest, accuracy_rest, level=1 - confidence), strict=True):
        group["detectable_gap"] = float(gap)


def _seen(group: dict[str, Any]) -> bool:
    gap: float = group["detectable_gap"]
    return group["share"] > 0.5 or gap <= NOTICEABLE  # of two unequal parts the small one is the problem


def _about_classes(audited: Audited) -> list[str]:
    cells = audited.cells
    by_label = cells.count.sum(axis=tuple(range(len(cells.shape)))).sum(axis=1)
    by_prediction = cells.count.sum(axis=tuple(range(len(cells.shape)))).sum(axis=0)
    found = []
    labels = [value for value, rows in zip(cells.classes, by_label, strict=True) if rows]
    guesses = [value for value, rows in zip(cells.classes, by_prediction, strict=True) if rows]
    if len(labels) == 1:
        found.append(f"every label is {labels[0]!r}: figures that need another class are undefined")
    if len(guesses) == 1:
        found.append(f"every prediction is {guesses[0]!r}")
    if not set(labels) & set(guesses):
        found.append(
            f"no prediction is ever a label: labels {values.shown(labels)}, predictions {values.shown(guesses)}"
        )
    return found


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return "; ".join(names[:MOST_NAMED]) + more


def _several(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
