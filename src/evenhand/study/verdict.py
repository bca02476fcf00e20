"""What a comparison comes to, in two sentences from its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenhand.study.comparison import MAIN

Record = Mapping[str, Any]

CLEAR = 0.05  # p, after correction


def verdict(compared: Record) -> tuple[str, ...]:
    """Who is worst served and how badly; then what helps, beyond noise or not.

    Args:
        compared: as `study.as_dict` makes it.
    """
    plain = reference(compared)
    return () if plain is None else (worst_served(plain, compared), *what_helps(plain, compared))


def reference(compared: Record) -> Record | None:
    """The row that the others are compared with."""
    rows: list[Record] = compared["rows"]
    return next((row for row in rows if row["label"] == compared["reference"]), rows[0] if rows else None)


def worst_served(row: Record, compared: Record) -> str:
    """`erm serves … worst: it is right on 41.2 % of its 120 test rows (…), 52.1 points below the rest …`"""
    worst, label = row["worst_group"], row["label"]
    if worst["accuracy"] is None:
        return f"{label} has no group with rows to judge it by."
    one = len(row["runs"]) == 1
    sentence = (
        f"{label} serves {worst['group']} worst: it is right on {_percent(worst['accuracy'])} % of this group's "
        f"{worst['count']} test rows (95 % interval {_percent(worst['low'])} to {_percent(worst['high'])} %"
        f"{'' if one else f', mean over {len(_defined(row, MAIN))} seeds'})"
    )
    rest = rest_accuracy(row, compared)
    if rest is None:
        return f"{sentence}."
    below = rest - worst["accuracy"]
    return f"{sentence}, {_percent(below)} points below the rest, of which it has {_percent(rest)} % right."


def rest_accuracy(row: Record, compared: Record) -> float | None:
    """Accuracy over all test rows outside the worst group; None where there are none."""
    accuracy, worst = row["metrics"]["accuracy"]["mean"], row["worst_group"]
    total = sum(group["test"] for group in compared["groups"])
    others = total - worst["count"]
    if accuracy is None or others <= 0:
        return None
    return float((accuracy * total - worst["accuracy"] * worst["count"]) / others)


def what_helps(plain: Record, compared: Record) -> tuple[str, ...]:
    """What the best of the other methods does for the worst group; nothing where there is no other."""
    base = plain["metrics"][MAIN]["mean"]
    others = [row for row in compared["rows"] if row is not plain and row["metrics"][MAIN]["mean"] is not None]
    if not others or base is None:
        return ()
    most = max(others, key=lambda row: float(row["metrics"][MAIN]["mean"]))
    gain = most["metrics"][MAIN]["mean"] - base
    if gain <= 0:
        who = f"None of the {len(others)} other methods does" if len(others) > 1 else f"{most['label']} does not do"
        return (f"{who} better on its own worst group.",)
    start = (
        f"{most['label']} helps most: its worst-group accuracy is {_percent(most['metrics'][MAIN]['mean'])} % where "
        f"{plain['label']} has {_percent(base)} %"
        + (" (of each seed its own worst group, and the mean of these)" if len(compared["seeds"]) > 1 else "")
    )
    found = next((one for one in compared["differences"] if one["method"] == most["label"]), None)
    return (f"{start}, {_beyond_noise(found, len(compared['seeds']))}.",)


def _beyond_noise(difference: Record | None, n_seeds: int) -> str:
    """The paired difference and whether it is more than noise; without one, that nothing can be said."""
    n = n_seeds if difference is None else difference["n"]
    seeds = f"{n} seed{'s' * (n != 1)}" + (" that both have" if n < n_seeds else "")
    if difference is None or difference["p_adjusted"] is None:
        return f"but {seeds} cannot tell that from noise"
    low, high = max(difference["low"], -1.0), min(difference["high"], 1.0)
    found = (
        f"a difference of {_points(difference['mean'])} points (95 % interval {_points(low)} to {_points(high)}, "
        "paired by seed and corrected for all comparisons)"
    )
    if difference["p_adjusted"] <= CLEAR:
        return f"{found}, beyond the noise of {seeds}"
    return f"{found}, though {seeds} are too few to tell that from noise"


def _defined(row: Record, metric: str) -> list[float]:
    return [value for value in row["metrics"][metric]["values"] if value is not None]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
