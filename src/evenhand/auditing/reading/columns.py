"""Which columns play which part: label, prediction, groups (with bins), scores, weight, id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from evenhand.errors import BadInput, unknown

ScoreKind = Literal["probability", "logit", "score"]
SCORE_KINDS: tuple[ScoreKind, ...] = ("probability", "logit", "score")
ROW = "\0row"  # a row's number in the file
PREDICTED = "\0predicted"  # the class that follows from the scores; no column can have such a name


@dataclass(frozen=True)
class GroupColumn:
    """A column whose values make groups; with `edges`, the bins that its numbers fall into.

    `edges` e1 < … < ek give the bins < e1, [e1, e2), …, ≥ ek. Bins between edges are listed even when they are empty.
    """

    name: str
    edges: tuple[float, ...] = ()

    @property
    def bins(self) -> tuple[str, ...]:
        """The name of each bin, lowest first; empty without edges."""
        texts = [f"{edge:g}" for edge in self.edges]
        if not texts:
            return ()
        middle = [f"{low} to <{high}" for low, high in pairwise(texts)]
        return (f"<{texts[0]}", *middle, f"≥{texts[-1]}")


@dataclass(frozen=True)
class Columns:
    """The columns of an audit, all known to be there.

    Attributes:
        label: the truth.
        prediction: the predicted class; None where it follows from the scores.
        groups: crossed with each other.
        scores: none, one (of the positive class), or one per class.
        score_kind: probabilities in [0, 1], logits, or scores that only rank.
        weight: how much each row counts, or None.
        id: rows with the same id (images of one patient) belong together, or None.
    """

    label: str
    prediction: str | None
    groups: tuple[GroupColumn, ...]
    scores: tuple[str, ...] = ()
    score_kind: ScoreKind = "probability"
    weight: str | None = None
    id: str | None = None

    @property
    def by_row(self) -> bool:
        """Whether figures need single rows, not only counts."""
        return bool(self.scores) or self.id is not None

    @property
    def used(self) -> list[str]:
        """Every column that is read, once."""
        optional = [name for name in (self.prediction, self.weight, self.id) if name is not None]
        return list(dict.fromkeys([self.label, *optional, *(group.name for group in self.groups), *self.scores]))


def parse_group(text: str, known: Collection[str], where: str) -> GroupColumn:
    """`age` or `age:0,40,60`; a name with a colon is a column first.

    Raises:
        BadInput: no such column, or edges that are not increasing numbers.
    """
    name, colon, listed = text.rpartition(":")
    if text in known:
        return GroupColumn(text)
    if not colon or name not in known:
        return GroupColumn(require(name if colon and not _is_name(listed) else text, known, where))
    return GroupColumn(name, _edges(text, listed))


def require(name: str, known: Collection[str], where: str) -> str:
    """`name`, if it is a column.

    Raises:
        BadInput: it is not; the nearest is suggested.
    """
    if name not in known:
        raise unknown(f"column of {where}", name, known)
    return name


def resolve(
    known: Sequence[str],
    where: str,
    *,
    label: str,
    prediction: str | None,
    groups: Sequence[str],
    scores: Sequence[str],
    score_kind: str,
    weight: str | None,
    id: str | None,
) -> Columns:
    """The parts by name, checked against the columns that are there.

    Raises:
        BadInput: a column is missing, named twice, no group or neither prediction nor score is named.
    """
    if not groups:
        raise BadInput("name at least one group column (--group): the audit compares groups")
    if prediction is None and not scores:
        raise BadInput("name the column of predicted classes (--prediction) or of scores (--score)")
    if score_kind not in SCORE_KINDS:
        raise unknown("score kind", score_kind, SCORE_KINDS)
    for name in (label, prediction, weight, id, *scores):
        if name is not None:
            require(name, known, where)
    parsed = tuple(parse_group(text, known, where) for text in groups)
    for what, names in (("group", [group.name for group in parsed]), ("score", list(scores))):
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise BadInput(f"the {what} column {repeated[0]!r} is named twice")
    if prediction == label:
        raise BadInput(f"label and prediction are both {label!r}: every prediction would be right")
    kind: ScoreKind = next(kind for kind in SCORE_KINDS if kind == score_kind)
    return Columns(label, prediction, parsed, tuple(scores), kind, weight, id)


def _edges(text: str, listed: str) -> tuple[float, ...]:
    try:
        edges = tuple(float(edge) for edge in listed.split(","))
    except ValueError:
        raise BadInput(f"bins are written column:edge,edge,… such as age:0,40,60, got {text!r}") from None
    if any(not low < high for low, high in pairwise(edges)) or edges[0] != edges[0]:
        raise BadInput(f"the edges of bins must increase, got {text!r}")
    return edges


def _is_name(listed: str) -> bool:
    """Whether what follows a colon is no list of edges, so that the colon belongs to the name."""
    return not any(character.isdigit() for character in listed)
