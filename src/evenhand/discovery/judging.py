"""How well what was found agrees with attributes that are known. They play no part before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from evenhand.discovery.kinds._base import Array
from evenhand.discovery.looking import Source, Truth
from evenhand.metrics import auc

MOST_CLASSES = 10  # of which a reader is told one by one
NOTE = "The known attributes were used to score what was found, and for nothing else."


def judge(
    source: Source, clusters: Mapping[str, Array], scores: Mapping[str, Mapping[str, Array]], by: str
) -> dict[str, Any] | None:
    """Figures of agreement on every split, None without known attributes.

        worst_group          the known group with the least accuracy on the split `by` (without predictions the one with
                             the fewest training rows), and precision and recall of the part of a found group in its
                             class that matches it best, by F1
        adjusted_rand_index  of clusters and attributes, for each class
        auc                  of each score, for membership in a minority: a group smaller in train than its class's
                             largest; over all rows, and for each class

    Rows of which an attribute is not known are left out. What is not defined is NaN.
    """
    if source.truth is None:
        return None
    worst = _worst(source, source.truth, by)
    splits = {
        split: _of_split(split, source, source.truth, (clusters[split], scores[split]), worst) for split in source.rows
    }
    return {"note": NOTE, "worst_group": source.truth.names[worst], "by": by, "splits": splits}


def _of_split(
    split: str, source: Source, truth: Truth, found: tuple[Array, Mapping[str, Array]], worst: int
) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score

    rows = source.rows[split]

    cluster_N, score_N = found
    group_N = truth.group(split, rows.y)
    known = np.flatnonzero((group_N >= 0) & (cluster_N >= 0))
    y_M, group_M, cluster_M = rows.y[known], group_N[known], cluster_N[known]
    minority_M = minorities(truth, rows.n_classes)[group_M]
    of_class = {name: np.flatnonzero(y_M == c) for c, name in enumerate(source.class_names)}
    return {
        "best_match": best_match(group_M == worst, cluster_M, y_M),
        "adjusted_rand_index": {
            name: float(adjusted_rand_score(group_M[own], cluster_M[own])) for name, own in of_class.items() if len(own)
        },
        "auc": {
            name: {
                "all": auc(values_N[known], minority_M),
                "by_class": {label: auc(values_N[known][own], minority_M[own]) for label, own in of_class.items()},
            }
            for name, values_N in score_N.items()
        },
    }


def measures(own: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one split by what they are, for a reader."""
    match = {f"best match of that group, {name}": own["best_match"][name] for name in ("precision", "recall")}
    rand = {f"adjusted Rand index, {label}": value for label, value in own["adjusted_rand_index"].items()}
    if len(rand) > MOST_CLASSES:
        rand = {"adjusted Rand index, mean over classes": float(np.mean(list(rand.values())))}
    areas = {f"AUC of minority membership, {n.replace('_', ' ')}": area["all"] for n, area in own["auc"].items()}
    return {**match, **rand, **areas}


def minorities(truth: Truth, n_classes: int) -> Array:
    """(G,) 1 for a group that is smaller in train than the largest of its class."""
    count_CA = truth.count.reshape(n_classes, -1)
    found: Array = (count_CA < count_CA.max(axis=1, keepdims=True)).astype(np.int64).reshape(-1)
    return found


def best_match(member_M: Array, cluster_M: Array, y_M: Array) -> dict[str, Any]:
    """Which rows of one class in one found group agree best, by F1, with those that are members; index of the group."""
    cells = np.stack([cluster_M, y_M], axis=1)[np.flatnonzero(member_M)]
    best: dict[str, Any] = {"cluster": None, "precision": float("nan"), "recall": float("nan"), "f1": 0.0}
    for cluster, label in np.unique(cells, axis=0):
        inside_M = (cluster_M == cluster) & (y_M == label)
        both = int((inside_M & member_M).sum())
        precision, recall = both / int(inside_M.sum()), both / int(member_M.sum())
        f1 = 2 * precision * recall / (precision + recall)
        if f1 > best["f1"]:
            best = {"cluster": int(cluster), "precision": precision, "recall": recall, "f1": f1}
    return best


def _worst(source: Source, truth: Truth, by: str) -> int:
    rows = source.rows[by]
    if rows.logits is None:
        return int(np.where(truth.count > 0, truth.count, np.iinfo(np.int64).max).argmin())
    group_N = truth.group(by, rows.y)
    known = group_N >= 0
    count_G = np.bincount(group_N[known], minlength=len(truth.names))
    wrong_G = np.bincount(group_N[known], rows.wrong[known], len(truth.names))
    return int(np.where(count_G > 0, wrong_G / np.maximum(count_G, 1), -1.0).argmax())
