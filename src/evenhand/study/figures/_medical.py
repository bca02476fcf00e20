"""What the figures of label bias share: clean and biased parts side by side, groups by name, statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from evenhand.errors import BadInput
from evenhand.runs import Run
from evenhand.study.comparison import Entry
from evenhand.study.reproduction import Reproduction, StudyReproduction

Record = dict[str, Any]

CLEAN, BIASED, ATTRIBUTE = "clean", "biased", "attribute"
LEVEL = 0.05


@dataclass
class Setting:
    """Data and an attribute: the parts with clean labels, with biased ones, and with the attribute for label."""

    name: str
    parts: dict[str, Reproduction] = field(default_factory=dict)

    def entry(self, kind: str, label: str) -> Entry | None:
        """The row of this label in the part of this kind, if it was run."""
        entries = self.parts[kind].comparison.shown if kind in self.parts else []
        return next((entry for entry in entries if entry.label == label), None)


def settings_of(found: StudyReproduction, needed: Sequence[str]) -> list[Setting]:
    """The settings of which every part in `needed` was run; parts are called `NAME, clean` and so on.

    Raises:
        BadInput: there is none.
    """
    by_name: dict[str, Setting] = {}
    for part in found.parts:
        name, _, kind = part.table.part.rpartition(", ")
        if part.comparison.shown:
            by_name.setdefault(name, Setting(name)).parts[kind] = part
    complete = [each for each in by_name.values() if set(needed) <= set(each.parts)]
    if not complete:
        raise BadInput(f"the figure needs finished runs of these parts of one data set: {', '.join(needed)}")
    for each in complete:
        part = each.parts[needed[0]]
        if not part.comparable:
            each.name = f"{part.comparison.data}, {attribute_name(part.comparison.shown[0].finished[0])}"
    return complete


def attribute_name(run: Run) -> str:
    """The attributes of a run's data, `sex × age`."""
    return " × ".join(each["name"] for each in run.metrics["labels"]["attributes"])


def group_names(run: Run) -> list[str]:
    """(A) the values of the attribute, or of all combinations of several."""
    return [" ".join(names) for names in product(*(each["values"] for each in run.metrics["labels"]["attributes"]))]


def biased_groups(run: Run) -> list[bool]:
    """(A) in which of them labels were changed, by the options of the run's data."""
    attributes = run.metrics["labels"]["attributes"]
    chosen = run.config["data"].get("options", {}).get("flip_group", 1)
    wanted = [chosen] if isinstance(chosen, int) else chosen
    combined = product(*([(each["name"], value) for value in each["values"]] for each in attributes))
    named = [{text for name, value in pairs for text in (value, f"{name}={value}")} for pairs in combined]
    return [
        any(each == a if isinstance(each, int) else each in texts for each in wanted) for a, texts in enumerate(named)
    ]


def at_selected(run: Run) -> Record:
    """What was tracked at the epoch that the run's figures are of, by part.

    Raises:
        BadInput: the run was not tracked.
    """
    tracked = run.collapse
    last = [line for line in tracked if line["stage"] == tracked[-1]["stage"]]
    found = [line["parts"] for line in last if line["epoch"] == run.metrics["selection"]["epoch"]]
    if not found:
        raise BadInput(f"{run.folder} has no collapse.jsonl of its selected epoch: it was not trained with tracking")
    parts: Record = found[0]
    return parts


def number(value: float | None) -> float:
    """A number read from JSON, where what is undefined is null."""
    return math.nan if value is None else float(value)


def plain(values: Sequence[float]) -> list[float | None]:
    """Numbers for JSON."""
    return [float(value) if math.isfinite(value) else None for value in values]


def mean_sd(values: Sequence[float | None]) -> tuple[float, float]:
    """Mean and sd (n - 1) of what is defined; NaN where that is too little."""
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    mean = float(np.mean(known)) if known else math.nan
    return mean, float(np.std(known, ddof=1)) if len(known) > 1 else math.nan


# --- statistics ---


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> Record:
    """Two-sided Mann-Whitney U test: `u` of the first, `p`, and the `method` by which p was found.

    p is exact unless values tie, where it is the normal approximation with continuity correction; SciPy's own choice
    would be the approximation from nine values on. None without values on either side. `least` is the smallest exact p
    that so many values can have.
    """
    from scipy.stats import mannwhitneyu

    first, second = ([value for value in side if not math.isnan(value)] for side in (first, second))
    if not first or not second:
        return {"u": None, "p": None, "method": None, "least": None}
    both = [*first, *second]
    method = "exact" if len(set(both)) == len(both) else "asymptotic"
    if len(set(both)) == 1:
        return {"u": len(first) * len(second) / 2, "p": 1.0, "method": method, "least": _least(first, second)}
    found = mannwhitneyu(first, second, alternative="two-sided", method=method)
    return {"u": float(found.statistic), "p": float(found.pvalue), "method": method, "least": _least(first, second)}


def _least(first: Sequence[float], second: Sequence[float]) -> float:
    return min(1.0, 2 / math.comb(len(first) + len(second), len(first)))


def kendall(x: Sequence[float], y: Sequence[float]) -> Record:
    """Kendall's `tau` (b, which accounts for ties) of n pairs, with its `p`; None where it is undefined."""
    from scipy.stats import kendalltau

    pairs = [(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))]
    if len(pairs) < 2:
        return {"tau": None, "p": None, "n": len(pairs)}
    found = kendalltau(*zip(*pairs, strict=True), variant="b")
    tau, p = float(found.statistic), float(found.pvalue)
    return {"tau": None if math.isnan(tau) else tau, "p": None if math.isnan(p) else p, "n": len(pairs)}


def text(value: float | None, digits: int = 3) -> str:
    """`0.123`, `–` where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def with_sd(mean: float | None, sd: float | None, digits: int = 3) -> str:
    """`0.123±0.004`."""
    return text(mean, digits) + ("" if sd is None or math.isnan(sd) else f"±{sd:.{digits}f}")


def signed_sd(mean: float | None, sd: float | None, digits: int = 3) -> str:
    """`+0.123±0.004`."""
    sign = "+" if mean is not None and mean >= 0 else ""
    return sign + with_sd(mean, sd, digits)
