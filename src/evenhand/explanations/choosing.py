"""Which rows of a split are worth looking at: the worst errors of each group, its typical rows, and disagreements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenhand.batch import Split
from evenhand.errors import BadInput, unknown
from evenhand.runs import Run

REASONS = ("worst", "typical", "disagreement")
NAMED = "named"  # the reason of rows that the user asked for

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a run predicts of the N rows of a split.

    Attributes:
        y_N, group_N: label and group; group -1 is not known.
        prediction_N: the class with the largest logit.
        loss_N: cross-entropy, in nats.
    """

    y_N: Whole  # noqa: N815
    group_N: Whole  # noqa: N815
    prediction_N: Whole  # noqa: N815
    loss_N: Floats  # noqa: N815

    @property
    def right_N(self) -> NDArray[np.bool_]:
        """(N,) whether the prediction is the label."""
        return np.asarray(self.prediction_N == self.y_N)


@dataclass(frozen=True)
class Example:
    """A row that was chosen, its group, and why."""

    group: int
    row: int
    reason: str


def judged(run: Run, part: str, split: Split) -> Judged:
    """The stored predictions of a finished run on its split `part` (`val` or `test`).

    Raises:
        BadInput: they cannot be read, or are of other rows.
    """
    try:
        table = run.predictions()
        own = table.filter(table["split"] == part).sort("row")
        logits_NC = own.select([name for name in own.columns if name.startswith("logit_")]).to_numpy().astype(float)
        y_N = own["y"].to_numpy()
    except Exception as error:  # Polars has many of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{run.folder} is damaged: predictions.parquet cannot be read ({reason})") from error
    if not np.array_equal(y_N, split.y.cpu().numpy()):
        raise BadInput(f"{run.folder} is damaged: predictions.parquet is of other rows than its data's {part}")
    top_N1 = logits_NC.max(axis=1, keepdims=True)
    total_N = np.log(np.exp(logits_NC - top_N1).sum(axis=1)) + top_N1[:, 0]
    loss_N = total_N - logits_NC[np.arange(len(y_N)), y_N]
    return Judged(y_N.astype(np.int64), split.group.cpu().numpy(), logits_NC.argmax(axis=1), loss_N)


def check_reasons(reasons: Sequence[str], *, against: bool) -> None:
    """Raise BadInput unless all are names of `REASONS`, and disagreement has a second run."""
    for reason in reasons:
        if reason not in REASONS:
            raise unknown("choice of examples", reason, REASONS)
    if "disagreement" in reasons and not against:
        raise BadInput("disagreement is between two runs: name the second one with --against")


def choose(own: Judged, against: Judged | None, reasons: Sequence[str], per_group: int, n_groups: int) -> list[Example]:
    """Up to `per_group` rows of each group for each reason, group by group; a row is chosen once.

        worst          misclassified, by the largest loss
        typical        by the smallest distance to the group's mean loss
        disagreement   that one run has right and the other wrong, by the largest difference of their losses

    Ties go to the first row. A group without such rows has none.

    Raises:
        BadInput: no such reason, `disagreement` without a second run, or `per_group` below 1.
    """
    check_reasons(reasons, against=against is not None)
    if per_group < 1:
        raise BadInput(f"examples per group must be at least 1, got {per_group}")
    found: list[Example] = []
    for group in range(n_groups):
        rows = np.flatnonzero(own.group_N == group)
        taken: set[int] = set()
        for reason in reasons:
            fresh = [row for row in _ranked(own, against, reason, rows).tolist() if row not in taken][:per_group]
            taken.update(fresh)
            found += [Example(group, row, reason) for row in fresh]
    return found


def _ranked(own: Judged, against: Judged | None, reason: str, rows: Whole) -> Whole:
    """Those of a group's rows that fit the reason, the best first."""
    loss = own.loss_N[rows]
    if reason == "worst":
        fits, score = ~own.right_N[rows], -loss
    elif reason == "typical":
        fits, score = np.ones(len(rows), dtype=bool), np.abs(loss - (loss.mean() if len(rows) else 0))
    else:
        assert against is not None
        fits, score = own.right_N[rows] != against.right_N[rows], -np.abs(loss - against.loss_N[rows])
    order = np.argsort(score, kind="stable")
    return rows[order[fits[order]]]


def named(rows: Sequence[int], own: Judged) -> list[Example]:
    """The rows that were asked for, in order of groups.

    Raises:
        BadInput: a row is not there.
    """
    for row in rows:
        if not 0 <= row < len(own.y_N):
            raise BadInput(f"there is no row {row}: rows are numbered from 0 to {len(own.y_N) - 1}")
    unique = list(dict.fromkeys(rows))
    return sorted((Example(int(own.group_N[row]), row, NAMED) for row in unique), key=lambda each: each.group)


def sample(own: Judged, per_group: int, n_groups: int, seed: int = 0) -> Whole:
    """Up to `per_group` rows of each group, drawn at random, in order: what averages are taken over."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(own.group_N == group))[:per_group] for group in range(n_groups)]
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *drawn]))
