"""How figures read: percentages, points, names; the same in the terminal, in Markdown and in pages."""

from __future__ import annotations

import math
from typing import Any

from evenhand.auditing.figures.estimates import Measured
from evenhand.auditing.figures.names import FIGURES
from evenhand.auditing.reading import values

Record = dict[str, Any]
PLAIN = ("log_loss", "brier", "calibration_error", "auc", "average_precision")  # read as numbers, not as shares
MOST_NAMED = 2
HEADLINES = (
    "worst_group_accuracy", "best_group_accuracy", "accuracy_gap", "group_mean_accuracy",
    "demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference",
    "average_odds_difference",
)  # fmt: skip


def shown_figures(record: Record) -> list[str]:
    """The figures beside accuracy that a table has room for."""
    wanted = ["true_positive_rate", "false_positive_rate", "selection_rate", "auc", "calibration_error"]
    if record["positive"] is None:
        wanted[2:3] = ["f1"]
    return [name for name in wanted if name in record["overall"]]


def title(name: str) -> str:
    """A figure's heading."""
    return FIGURES[name].title


def plainly(name: str) -> str:
    """A reduction's name in words: `worst group accuracy`."""
    return name.replace("_", " ")


def number(name: str, value: float) -> str:
    """`74.2%`, or `0.742` for figures that are no shares; a dash where undefined."""
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if name.endswith(PLAIN) else f"{100 * value:.1f}%"


def span(name: str, measured: Measured) -> str:
    """The interval: `70.1 to 77.0` (percent) or `0.701 to 0.770`."""
    if math.isnan(measured.low) or math.isnan(measured.high):
        return "–"
    low, high = (bound if name.endswith(PLAIN) else 100 * bound for bound in (measured.low, measured.high))
    digits = 3 if name.endswith(PLAIN) else 1
    return f"{low:.{digits}f} to {high:.{digits}f}" if math.isfinite(high) else f"{low:.{digits}f} or more"


def points(difference: float) -> str:
    """A difference of shares in points: `+1.2`."""
    return "–" if math.isnan(difference) else f"{round(100 * difference, 1) + 0.0:+.1f}"  # no −0.0


def p_value(p: float) -> str:
    """`0.012`, `<0.001`."""
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def group(conditions: Record) -> str:
    """A group or slice as text: `sex=F, race=black`."""
    return ", ".join(f"{column}={values.written(value)}" for column, value in conditions.items())


def values_of(conditions: Record) -> str:
    """A group where the columns are named above it: `F · black`."""
    return " · ".join(values.written(value) for value in conditions.values())


def rows(n: int) -> str:
    """`1,234`."""
    return f"{n:,}"


def counted(n: int) -> str:
    """`1 row`, `1,234 rows`."""
    return f"{rows(n)} row{'' if n == 1 else 's'}"


def facts(record: Record) -> str:
    """What was audited, in one line."""
    parts = [counted(record["rows"]), f"label {record['label']}"]
    parts.append(f"prediction {record['prediction'] or 'from ' + _listed(record['scores'])}")
    if record["positive"] is not None:
        parts.append(f"positive {values.written(record['positive'])}")
    if record["weight"]:
        parts.append(f"weight {record['weight']}")
    if record["clusters"] is not None:
        parts.append(f"{rows(record['clusters'])} clusters of {record['id']}")
    return " · ".join(parts)


def _listed(names: list[str]) -> str:
    """All of a few names, the first and the last of many."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{len(names)} columns, {names[0]} to {names[-1]}"


def missing(record: Record) -> str:
    """Which values are missing, and what became of the rows; empty if none are."""
    if not record["missing"]:
        return ""
    listed = ", ".join(f"{rows(count)} in {name}" for name, count in record["missing"].items())
    dropped = f"{counted(record['dropped'])} left out" if record["dropped"] else "no row is left out"
    return f"missing values: {listed}; {dropped}"


def levels(record: Record) -> list[tuple[str, list[Record]]]:
    """The crossed groups, then every marginal crossing, each with its heading."""
    found: dict[str, list[Record]] = {" × ".join(record["columns"]): record["groups"]}
    for group in record["marginals"]:
        found.setdefault(" × ".join(group["group"]), []).append(group)
    return list(found.items())


def below(group: Record, overall: Measured) -> bool:
    """Whether a group's whole interval lies below the accuracy over all rows."""
    return bool(group["accuracy"].high < overall)
