"""What is in a group: its most typical rows, its most critical ones, and the features that set it apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenhand.discovery.kinds._base import Array, Placed, Rows
from evenhand.discovery.ranking import Group

MOST_NAMED = 5
LONGEST = 160  # characters of an excerpt
LEAST_DIFFERENCE = 0.2  # standard deviations; less is called negligible (Cohen 1988)


@dataclass(frozen=True)
class Example:
    """A row of the split that was looked at: its index, label, prediction (None without a model) and score."""

    row: int
    y: str
    prediction: str | None
    score: float


@dataclass(frozen=True)
class Examples:
    """Of one group: rows nearest to its middle, and rows with the highest scores."""

    typical: tuple[Example, ...]
    critical: tuple[Example, ...]


def examples(rows: Rows, placed: Placed, score: str, group: Group, names: Sequence[str], *, n: int) -> Examples:
    """At most `n` typical and `n` critical rows of the group; `names` are those of the classes."""
    score_N = placed.scores[score]
    own = np.flatnonzero(placed.cluster == group.cluster)

    def shown(order: Array) -> tuple[Example, ...]:
        return tuple(
            Example(
                int(row),
                names[rows.y[row]],
                None if rows.logits is None else names[rows.prediction[row]],
                float(score_N[row]),
            )
            for row in own[order][:n]
        )

    return Examples(
        shown(np.argsort(placed.distance[own], kind="stable")), shown(np.argsort(-score_N[own], kind="stable"))
    )


def apart(x_NF: Array, rows: Rows, cluster_N: Array, group: Group, names: Sequence[str]) -> list[dict[str, Any]]:
    """The features whose mean in the group differs most from that in the rest of its class, most first, at most five.

    The difference is standardised: in standard deviations, the root of the mean of both parts' variances. Across
    classes the rest are all other rows. Features that differ by less than 0.2 are left out.
    """
    inside_N = cluster_N == group.cluster
    rest_N = ~inside_N
    if group.label is not None and inside_N.any():
        rest_N &= rows.y == rows.y[inside_N][0]
    difference_F = standardised_difference(x_NF[inside_N], x_NF[rest_N])
    order = np.argsort(-np.abs(difference_F), kind="stable")[:MOST_NAMED]
    return [
        {"feature": names[f], "difference": float(difference_F[f])}
        for f in order
        if abs(difference_F[f]) >= LEAST_DIFFERENCE
    ]


def standardised_difference(inside_MF: Array, rest_NF: Array) -> Array:
    """(F,) difference of the means in standard deviations; 0 where a feature does not vary, or a part has no rows."""
    if not len(inside_MF) or not len(rest_NF):
        return np.zeros(inside_MF.shape[1])
    mean_F, rest_F = (part.mean(axis=0, dtype=np.float64) for part in (inside_MF, rest_NF))
    variance_F, rest_variance_F = (part.var(axis=0, dtype=np.float64) for part in (inside_MF, rest_NF))
    difference_F, deviation_F = mean_F - rest_F, np.sqrt((variance_F + rest_variance_F) / 2)
    found: Array = np.where(deviation_F > 0, difference_F / np.where(deviation_F > 0, deviation_F, 1), 0)
    return found


def excerpt(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"
