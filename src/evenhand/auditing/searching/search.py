"""Slice search: which combinations of up to three columns are served worst, so that nobody has to guess the groups.

One half of the rows, drawn at random, proposes slices; the other half, which had no say in that, tests them. Hence the
p-values and intervals are honest although thousands of slices were looked at.

1. Propose: mean loss of every cell of every crossing of columns, by counting; cells too small are left out.
2. Thin out, worst first by z-score: a slice inside one already kept must be worse than the rest of that one; any other
   must still be worse when the rows of those already kept are taken away. So one cause gives one slice.
3. Test what was kept on the other half, both against everyone else and with the condition of step 2; the larger p-value
   counts (Berger 1982), and Benjamini-Hochberg controls the share of false discoveries.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenhand.auditing.searching.excess import Moments, benjamini_hochberg, interval, moments, p_value, z_score
from evenhand.auditing.searching.proposals import PROPOSED, Conditions, Half, Proposal, Proposals
from evenhand.auditing.searching.slicing import SliceColumn
from evenhand.errors import BadInput
from evenhand.metrics.counts import FloatArray

TRIED = 400  # slices considered in step 2, worst first
TESTS = 50  # slices tested in step 3


@dataclass(frozen=True)
class Slice:
    """Rows that fulfil all `conditions` (column, value), and their mean loss, from the half that tests.

    `size` rows in all, `tested` of them in that half; `value` their mean loss there (the error rate for losses of 0
    and 1) with its own interval `low`, `high`; `rest` that of everyone else.
    """

    conditions: tuple[tuple[str, str], ...]
    size: int
    tested: int
    value: float
    low: float
    high: float
    rest: float
    p_value: float
    q_value: float


@dataclass(frozen=True)
class Found:
    """The slices that are worse than the rest, surely worst first, among `tested` ones.

    `examined` slices of at least `min_size` rows in `crossings` crossings were looked at; not `exhaustive`: there are
    more crossings than that.
    """

    slices: list[Slice]
    tested: int
    examined: int
    crossings: int
    exhaustive: bool


def search(
    columns: Sequence[SliceColumn],
    loss_N: ArrayLike,
    *,
    max_columns: int = 3,
    min_size: int = 100,
    level: float = 0.05,
    confidence: float = 0.95,
    seed: int = 0,
) -> Found:
    """Find the slices with a higher mean loss than everyone else.

    `loss_N` [N] per row, larger is worse: 1 for an error and 0 for a correct prediction, or any other loss. Slices are
    conjunctions of `column = value` over 1..`max_columns` (at most 3) columns with at least about `min_size` rows;
    `level` is the share of false discoveries allowed on average. Up to 2000 crossings of two and of three columns are
    searched exhaustively (all of up to 23 columns); of more columns those that extend the worst. Ordered by `low`. The
    same `seed` gives the same halves. Rows are taken to be independent.

    Raises:
        BadInput: loss not finite numbers, columns of other lengths or equal names, options out of range.
    """
    loss = _loss(loss_N)
    _check(columns, loss.size, max_columns, min_size, level)
    proposing = np.zeros(loss.size, dtype=bool)
    proposing[np.random.default_rng(seed).permutation(loss.size)[: loss.size // 2]] = True
    first, second = (Half([c.code_N[rows] for c in columns], loss[rows]) for rows in (proposing, ~proposing))
    smallest = max(2, min_size // 2)
    proposals = Proposals(first, [len(column.labels) for column in columns], smallest)
    proposals.collect(max_columns)
    kept = _distinct(first, proposals.worst(), smallest)
    slices = _tested((first, second), kept, columns, confidence)
    found = sorted((s for s in slices if s.q_value <= level), key=lambda s: (-s.low, s.conditions))
    return Found(found, len(kept), proposals.examined, proposals.crossings, proposals.exhaustive)


class _Kept:
    """Step 2: slices kept so far in one half, and what a further one is compared with."""

    def __init__(self, half: Half) -> None:
        self.half = half
        self.masks: dict[Conditions, NDArray[np.bool_]] = {}
        self.times_covered = np.zeros(half.loss.size, dtype=np.int16)
        self.uncovered = moments(half.loss, self.times_covered == 0)

    def contrasts(self, conditions: Conditions, mask: NDArray[np.bool_]) -> list[tuple[Moments, Moments]]:
        """The slice against the rest of each kept one around it (else of everyone), without the other kept ones."""
        loss, around = self.half.loss, [rows for kept, rows in self.masks.items() if set(kept) < set(conditions)]
        if not around:
            these = moments(loss, mask & (self.times_covered == 0))
            return [(these, self.uncovered.without(these))]
        free = self.times_covered == np.sum(around, axis=0, dtype=np.int16)
        these, others = moments(loss, mask & free), free & ~mask
        return [(these, moments(loss, rows & others)) for rows in around]

    def add(self, conditions: Conditions, mask: NDArray[np.bool_]) -> None:
        self.masks[conditions] = mask
        self.times_covered += mask
        self.uncovered = moments(self.half.loss, self.times_covered == 0)


def _distinct(half: Half, proposals: list[Proposal], smallest: int) -> list[Conditions]:
    kept = _Kept(half)
    for proposal in proposals[:TRIED]:
        mask = half.mask(proposal.conditions)
        contrasts = kept.contrasts(proposal.conditions, mask)
        if all(these.n >= smallest and z_score(these, others) >= PROPOSED for these, others in contrasts):
            kept.add(proposal.conditions, mask)
        if len(kept.masks) == TESTS:
            break
    return list(kept.masks)


def _tested(
    halves: tuple[Half, Half], conditions: list[Conditions], columns: Sequence[SliceColumn], confidence: float
) -> list[Slice]:
    """Step 3: the kept slices in the second half, in the order in which they were kept."""
    first, second = halves
    binary = all(bool(np.isin(half.loss, (0, 1)).all()) for half in halves)
    kept, rows = _Kept(second), []
    for found in conditions:
        mask = second.mask(found)
        these, rest = moments(second.loss, mask), moments(second.loss, ~mask)
        p = max(p_value(*pair, binary) for pair in [(these, rest), *kept.contrasts(found, mask)])
        kept.add(found, mask)
        rows.append((found, these, rest, p))
    q = benjamini_hochberg([p for *_, p in rows])
    return [
        Slice(
            conditions=tuple((columns[column].name, columns[column].labels[code]) for column, code in found),
            size=int(these.n) + int(first.mask(found).sum()),
            tested=int(these.n),
            value=float(these.mean) if these.n else float("nan"),
            low=ends[0],
            high=ends[1],
            rest=float(rest.mean),
            p_value=p,
            q_value=float(q[i]),
        )
        for i, (found, these, rest, p) in enumerate(rows)
        for ends in [interval(these, binary, confidence)]
    ]


def _loss(values: ArrayLike) -> FloatArray:
    loss = np.asarray(values)
    if loss.ndim != 1 or (loss.size and loss.dtype.kind not in "iufb"):
        raise BadInput(f"loss must be one number a row, got {loss.dtype} {list(loss.shape)}")
    wrong = np.flatnonzero(~np.isfinite(loss))
    if wrong.size:
        raise BadInput(f"loss must be finite, got {loss[wrong[0]]} in row {wrong[0]}")
    return loss.astype(np.float64)


def _check(columns: Sequence[SliceColumn], size: int, max_columns: int, min_size: int, level: float) -> None:
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise BadInput(f"columns to search must have different names, got {', '.join(names)}")
    for column in columns:
        if column.code_N.size != size:
            raise BadInput(
                f"column {column.name!r} must have one code for each of {size} rows, got {column.code_N.size}"
            )
    if not 1 <= max_columns <= 3:
        raise BadInput(f"max_columns must be 1, 2 or 3, got {max_columns}")
    if min_size < 2 or not 0 < level < 1:
        raise BadInput(f"min_size must be at least 2 and level in (0, 1), got {min_size} and {level}")
