"""Rows that come in clusters, such as images of one patient, say less than as many independent ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evenhand.metrics.counts import FloatArray, IntArray


@dataclass(frozen=True)
class Clusters:
    """`code` [N] in 0..count−1: rows with the same code belong together."""

    code: IntArray
    count: int


def effective_rows(
    clusters: Clusters,
    group_N: IntArray,
    outcomes: tuple[IntArray, IntArray],
    weight_N: FloatArray | None,
    value: Mapping[str, FloatArray],
) -> dict[str, FloatArray]:
    """How many independent rows would give each proportion the same variance: p(1 − p) / V.

    V is the linearised variance between the M clusters of a group (Kish 1965; Korn, Graubard 1998),

        r_m = Σ_rows of m w (hit − p · member),   V = M / (M − 1) Σ_m r_m² / (Σ w member)²

    `outcomes`: label and prediction [N]. `value`: p of each proportion, [K] or [C, K], as `figures.fractions` names
    them. Where p is 0 or 1 the variance says nothing, and every cluster counts as one row. Never more than the rows
    there are.
    """
    y_N, prediction_N = outcomes
    pair_P, pair_N = np.unique(group_N * clusters.count + clusters.code, return_inverse=True)
    weight_N = np.ones(len(y_N)) if weight_N is None else weight_N
    within = _Within(pair_N, pair_P // max(1, clusters.count), group_N, weight_N)
    found = {}
    for name, p in value.items():
        if p.ndim == 1:
            found[name] = within.effective(y_N == prediction_N, np.ones(len(y_N), dtype=bool), p)
        else:
            found[name] = np.stack(
                [within.effective(*_membership(name, y_N == c, prediction_N == c), p[c]) for c in range(len(p))]
            )
    return found


Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


def _membership(name: str, is_N: Mask, said_N: Mask) -> tuple[Mask, Mask]:
    """Which rows are in the numerator and in the denominator of a proportion, one class against the rest."""
    everyone = np.ones_like(is_N)
    hit_N, member_N = {
        "true_positive_rate": (is_N & said_N, is_N),
        "false_positive_rate": (said_N & ~is_N, ~is_N),
        "precision": (is_N & said_N, said_N),
        "jaccard": (is_N & said_N, is_N | said_N),
        "selection_rate": (said_N, everyone),
    }[name]
    return hit_N, member_N


@dataclass(frozen=True)
class _Within:
    """Clusters within groups: `pair` [N] says which each row is in, `group_of_pair` [P] which group that is in."""

    pair: IntArray
    group_of_pair: IntArray
    group: IntArray
    weight: FloatArray

    def effective(self, hit_N: Mask, member_N: Mask, p_K: FloatArray) -> FloatArray:
        n_pairs, n_groups = len(self.group_of_pair), len(p_K)
        known_K = np.nan_to_num(p_K)
        residual_N = self.weight * (hit_N - known_K[self.group] * member_N)
        r2_P = np.bincount(self.pair, residual_N, n_pairs) ** 2
        member_P = np.bincount(self.pair, self.weight * member_N, n_pairs) > 0
        clusters_K = np.bincount(self.group_of_pair, member_P, n_groups)
        total_K = np.bincount(self.group, self.weight * member_N, n_groups)
        rows_K = np.bincount(self.group, member_N, n_groups)
        correction_K = np.where(clusters_K > 1, clusters_K / np.maximum(clusters_K - 1, 1), 0)
        spread_K = correction_K * np.bincount(self.group_of_pair, r2_P, n_groups)
        variance_K = np.divide(spread_K, total_K**2, out=np.zeros(n_groups), where=total_K > 0)
        known = (known_K > 0) & (known_K < 1) & (variance_K > 0)
        n_K = np.divide(known_K * (1 - known_K), variance_K, out=clusters_K.astype(np.float64), where=known)
        return np.minimum(n_K, rows_K)
