"""What a slice search proposes: every cell of every crossing of columns, by counting, worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenhand.auditing.searching.excess import Moments, moments, z_score
from evenhand.metrics.counts import FloatArray, IntArray

MAX_CROSSINGS = 2000  # crossings of as many columns: above, those that extend the worst are searched
PROPOSALS = 400  # cells of a crossing that are proposed at most, worst first
PROPOSED = 2.0  # z-score that a cell needs to be proposed

Conditions = tuple[tuple[int, int], ...]  # (column, code)


@dataclass(frozen=True, eq=False)
class Half:
    """Half of the rows: the code of each column, and the loss."""

    codes: list[IntArray]
    loss: FloatArray

    def mask(self, conditions: Conditions) -> NDArray[np.bool_]:
        """The rows that fulfil all conditions."""
        masks = [self.codes[column] == code for column, code in conditions]
        return np.asarray(np.logical_and.reduce(masks))


class Proposal(NamedTuple):
    """A slice and how many standard errors its loss is above everyone else's."""

    z: float
    conditions: Conditions


class Proposals:
    """The cells of every crossing with their z-scores; `smallest` rows make a cell."""

    def __init__(self, half: Half, n_codes: list[int], smallest: int) -> None:
        self.half, self.smallest = half, smallest
        self.everyone = moments(half.loss, np.ones(half.loss.size, dtype=bool))
        self.squares = half.loss**2
        self.found: list[Proposal] = []
        self.examined = self.crossings = 0
        self.exhaustive = True
        # Values with too few rows share one code, the last: no slice of enough rows has them.
        recoded = [_frequent(code_N, K, smallest) for code_N, K in zip(half.codes, n_codes, strict=True)]
        self.codes = [code_N for code_N, _ in recoded]
        self.frequent = [kept for _, kept in recoded]

    def collect(self, max_columns: int) -> None:
        """Cross one column, two columns, … up to `max_columns`."""
        useful = [column for column, kept in enumerate(self.frequent) if kept.size]
        worst: dict[tuple[int, ...], float] = {}
        for k in range(1, max_columns + 1):
            crossings: Iterator[tuple[int, ...]] = combinations(useful, k)
            if comb(len(useful), k) > MAX_CROSSINGS:
                self.exhaustive = False
                crossings = islice(_extensions(worst, useful, k), MAX_CROSSINGS)
            for columns in crossings:
                worst[columns] = self._cross(columns)

    def worst(self) -> list[Proposal]:
        """All proposals, worst first; of equally bad ones the simplest first."""
        return sorted(self.found, key=lambda proposal: (-proposal.z, len(proposal.conditions), proposal.conditions))

    def _cross(self, columns: tuple[int, ...]) -> float:
        """Propose the cells of one crossing; their largest z-score."""
        self.crossings += 1
        sizes = [self.frequent[column].size + 1 for column in columns]
        cell_N = self.codes[columns[0]].copy()
        for column, size in zip(columns[1:], sizes[1:], strict=True):
            cell_N *= size
            cell_N += self.codes[column]
        n_cells, names = int(np.prod(sizes)), None
        if n_cells > 4 * self.half.loss.size + 1000:  # a table of mostly empty cells
            names, cell_N = np.unique(cell_N, return_inverse=True)
            n_cells = names.size
        n_cell = np.bincount(cell_N, minlength=n_cells)
        large = np.flatnonzero(n_cell >= self.smallest)
        total, squares = (np.bincount(cell_N, value, n_cells)[large] for value in (self.half.loss, self.squares))
        cells = Moments(*(column.astype(np.float64) for column in (n_cell[large], total, squares)))
        codes = np.unravel_index(large if names is None else names[large], sizes)
        real = np.logical_and.reduce([code < size - 1 for code, size in zip(codes, sizes, strict=True)])
        z = z_score(cells, self.everyone.without(cells))
        self.examined += int(real.sum())
        chosen = np.flatnonzero(real & (z >= PROPOSED))
        for i in chosen[np.argsort(-z[chosen], kind="stable")][:PROPOSALS]:
            found = [int(self.frequent[column][code[i]]) for column, code in zip(columns, codes, strict=True)]
            self.found.append(Proposal(float(z[i]), tuple(zip(columns, found, strict=True))))
        return float(z[real].max(initial=-np.inf))


def _frequent(code_N: IntArray, n_codes: int, smallest: int) -> tuple[IntArray, IntArray]:
    kept = np.flatnonzero(np.bincount(code_N + 1, minlength=n_codes + 1)[1:] >= smallest)
    to = np.full(n_codes + 1, kept.size, dtype=np.int64)
    to[kept + 1] = np.arange(kept.size)
    return to[code_N + 1], kept


def _extensions(worst: dict[tuple[int, ...], float], useful: Sequence[int], k: int) -> Iterator[tuple[int, ...]]:
    """Crossings of k columns that add one to a crossing of k − 1, those of the worst cells first."""
    parents = sorted((columns for columns in worst if len(columns) == k - 1), key=lambda columns: -worst[columns])
    seen = set()
    for parent in parents:
        for column in useful:
            child = tuple(sorted({*parent, column}))
            if len(child) == k and child not in seen:
                seen.add(child)
                yield child
