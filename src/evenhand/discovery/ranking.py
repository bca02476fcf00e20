"""How the model fares in each group that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan

import numpy as np

from evenhand.discovery.kinds._base import Array, Name, Rows
from evenhand.metrics import wilson


@dataclass(frozen=True)
class Figures:
    """Of one group on one split; NaN where there is nothing to be said.

    Attributes:
        count: rows.
        accuracy, low, high: share predicted rightly with its 95 % Wilson interval.
        loss: mean cross-entropy, nats.
        score: mean score.
    """

    count: int
    accuracy: float
    low: float
    high: float
    loss: float
    score: float


@dataclass(frozen=True)
class Group:
    """A group that was found.

    Attributes:
        cluster: its index.
        name: the class and a number in it, or the name of a slice across classes.
        label: its class; None across classes.
        figures: by split.
    """

    cluster: int
    name: str
    label: str | None
    figures: Mapping[str, Figures]


def ranked(
    names: tuple[Name, ...],
    class_names: tuple[str, ...],
    rows: Mapping[str, Rows],
    clusters: Mapping[str, Array],
    scores: Mapping[str, Array],
    *,
    by: str,
) -> list[Group]:
    """The groups, worst first on the split `by`: by accuracy, then by loss; without predictions the smallest first.

    Groups without rows there come last.
    """
    figures = {split: _figures(rows[split], clusters[split], scores[split], len(names)) for split in rows}
    groups = [
        Group(
            cluster,
            said(name, class_names),
            None if name.label is None else class_names[name.label],
            {split: of_split[cluster] for split, of_split in figures.items()},
        )
        for cluster, name in enumerate(names)
    ]

    def key(group: Group) -> tuple[float, float, float]:
        own = group.figures[by]
        if not own.count:
            return (inf, 0.0, 0.0)
        return (-1.0, 0.0, own.count) if np.isnan(own.accuracy) else (own.accuracy, -own.loss, own.count)

    return sorted(groups, key=key)


def said(name: Name, class_names: tuple[str, ...]) -> str:
    """`landbird/3`, or a slice's own name."""
    return name.word if name.label is None else f"{class_names[name.label]}/{name.word}"


def _figures(rows: Rows, cluster_N: Array, score_N: Array, n_clusters: int) -> list[Figures]:
    placed = cluster_N >= 0
    cluster_N = cluster_N[placed]
    count_L = np.bincount(cluster_N, minlength=n_clusters)

    def mean(values_N: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.bincount(cluster_N, values_N[placed], n_clusters) / count_L)

    score_L = mean(score_N)
    if rows.logits is None:
        return [Figures(int(n), nan, nan, nan, nan, float(s)) for n, s in zip(count_L, score_L, strict=True)]
    right_L = count_L - np.bincount(cluster_N, rows.wrong[placed], n_clusters).round().astype(np.int64)
    low_L, high_L = wilson(right_L, count_L)
    columns = (count_L, mean(1 - rows.wrong), low_L, high_L, mean(rows.loss), score_L)
    return [Figures(int(n), *map(float, rest)) for n, *rest in zip(*columns, strict=True)]
