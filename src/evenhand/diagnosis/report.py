"""`diagnose`: all probes of a model, and the verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand import metrics
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.model import Model

from . import refits, separability
from .attributes import AttributeProbe, attribute_probes
from .recovery import Outcome, Recovery, recovery
from .rows import Rows, gathered
from .verdict import (
    DEEP,
    LESS_SEPARATED,
    MOST_OF_GAP,
    RAW_GAIN,
    SEPARATE,
    SMALLEST_GAP,
    TOLD_APART,
    Criterion,
    Measured,
    Verdict,
    decide,
)

CONFIDENCE = 0.95


@dataclass(frozen=True)
class GroupFigures:
    """What was measured of one group, on validation rows where nothing else is said; NaN where it has none.

    Attributes:
        train: training rows, as `val`.
        accuracy: of the run's classifier; with its 95 % interval.
        seen: accuracy on training rows.
        refit_val: accuracy of balanced refits on validation rows that it does not judge.
        refit_train: of a balanced refit on training rows.
        told_apart: AUC of telling it from other classes with its attribute, by the refits on validation.
        nearest: share whose nearest class mean of training is that of its class.
        agreement: mean share of the neighbours' weight, among training rows, that its class has.
        suspect: share whose neighbours agree on another class.
        detectable: smallest gap to all other rows that so many rows usually show.
    """

    group: int
    name: str
    train: int
    val: int
    accuracy: float
    low: float
    high: float
    seen: float
    refit_val: float
    refit_train: float
    told_apart: float
    nearest: float
    agreement: float
    suspect: float
    detectable: float


@dataclass(frozen=True)
class Diagnosis:
    """The verdict, and everything that was measured for it.

    Attributes:
        rows_needed: validation rows of the worst group that would usually show its gap; None where no number would.
    """

    verdict: Verdict
    worst_group: int
    groups: tuple[GroupFigures, ...]
    attributes: tuple[AttributeProbe, ...]
    recovery: Recovery
    majority_cosine: float
    minority_cosine: float
    rows_needed: int | None

    @property
    def worst(self) -> GroupFigures:
        """The group with the smallest accuracy."""
        return next(figures for figures in self.groups if figures.group == self.worst_group)

    def record(self) -> dict[str, Any]:
        """For JSON: what is not known is None."""
        found = asdict(self)
        found["verdict"]["sure"] = self.verdict.sure
        for criterion, said in zip(self.verdict.asked, found["verdict"]["asked"], strict=True):
            said |= {"above": criterion.above, "decided": criterion.decided}
        found["recovery"] = {
            key: value._asdict() if hasattr(value, "_asdict") else value
            for key, value in self.recovery._asdict().items()
        }
        found["attributes"] = [probe._asdict() for probe in self.attributes]
        cleaned: dict[str, Any] = _plain(found)
        return cleaned


def diagnose(model: Model, train: Split, val: Split) -> Diagnosis:
    """Find out why a model is worst for its worst group, from training and validation rows.

    The model stays as it is. Groups without validation rows, and rows of no known group, are left out; of each group
    at most 5000 training rows are looked at. The same data and model give the same result.

    Raises:
        BadInput: fewer than two groups have validation rows, or a class has too few rows to fit anything.
    """
    train_rows, val_rows = gathered(model, train, val)
    _check(train_rows, val_rows)
    split = val_rows.split
    labelled = refits.Labelled(val_rows.features, val_rows.y, val_rows.group, split.n_classes, split.n_groups)
    on_val_NC = refits.balanced_logits(labelled, refits.folds(val_rows.group))
    outcome = _outcome(train_rows, val_rows, on_val_NC)
    recovered = recovery(outcome, val_rows)
    means = separability.means(train_rows, val_rows, train.count_G)
    figures = _figures(train_rows, val_rows, outcome, separability.told_apart(on_val_NC, val_rows), means)
    worst = min(figures, key=lambda group: group.accuracy)
    measured = _measured(train_rows, val_rows, on_val_NC, recovered, worst.group)
    rest = _accuracy(val_rows.right[val_rows.group != worst.group])
    gap = rest - worst.accuracy
    return Diagnosis(
        decide(measured, worst.group, split.group_name),
        worst.group,
        figures,
        tuple(attribute_probes(train_rows, val_rows)),
        recovered,
        means.majority,
        means.minority,
        metrics.rows_needed(gap, rest, len(val_rows) - worst.val) if gap > 0 else None,
    )


def _check(train: Rows, val: Rows) -> None:
    if int((val.split.count_G > 0).sum()) < 2:
        raise BadInput("a diagnosis compares groups, but fewer than two have validation rows")
    for part, rows in (("training", train), ("validation", val)):
        least = int(rows.split.count_C.min())
        if least < refits.FOLDS:
            name = rows.split.class_names or range(rows.split.n_classes)
            label = name[int(rows.split.count_C.argmin())]
            raise BadInput(f"a diagnosis needs {refits.FOLDS} {part} rows of each class, got {least} of {label}")


def _outcome(train: Rows, val: Rows, on_val_NC: Tensor) -> Outcome:
    split = val.split

    def right(fit_MD: Tensor, judge_ND: Tensor) -> Tensor:
        labelled = refits.Labelled(fit_MD, train.y, train.group, split.n_classes, split.n_groups)
        return refits.transferred_logits(labelled, judge_ND).argmax(1) == val.y

    return Outcome(
        val.right,
        on_val_NC.argmax(1) == val.y,
        right(train.features, val.features),
        None if train.raw is None or val.raw is None else right(train.raw, val.raw),
    )


def _figures(
    train: Rows, val: Rows, outcome: Outcome, told_apart_G: Tensor, means: separability.Means
) -> tuple[GroupFigures, ...]:
    split = val.split
    n_G, right_G = split.count_G.numpy(), _counted(val.right, val)
    low_G, high_G = metrics.wilson(right_G, n_G, CONFIDENCE)
    rest_G = n_G.sum() - n_G
    rate_G = (right_G.sum() - right_G) / np.maximum(rest_G, 1)
    columns = (
        separability.mean_of_groups(val.right, val),
        low_G,
        high_G,
        separability.mean_of_groups(train.right, train),
        separability.mean_of_groups(outcome.on_val, val),
        separability.mean_of_groups(outcome.on_train, val),
        told_apart_G,
        means.nearest,
        means.agreement,
        means.suspect,
        metrics.detectable_gap(n_G, rest_G, rate_G),
    )
    return tuple(
        GroupFigures(
            g, split.group_name(g), int(means.sizes[g]), int(n_G[g]), *(float(column[g]) for column in columns)
        )
        for g in range(split.n_groups)
        if n_G[g]
    )


def _measured(train: Rows, val: Rows, on_val_NC: Tensor, recovered: Recovery, group: int) -> Measured:
    own_N, own_M = val.group == group, train.group == group
    here = val.right[own_N]
    n_groups = int((val.split.count_G > 0).sum())
    # The worst of G groups was chosen: each interval is as wide as all G together need (Sidak 1967).
    gap = _difference(val.right[~own_N], here, CONFIDENCE ** (1 / n_groups))
    unseen = _difference(train.right[own_M], here, CONFIDENCE)
    scale = max(gap.value, 1e-9)
    label, attribute = divmod(group, val.split.n_attributes)
    inside = separability.within(train, val, attribute)
    excess = {
        each: separability.excess_depth(inside, each) for each in (label, separability.mistaken_for(inside, label))
    }
    noisy, depth = max(excess.items(), key=lambda item: -math.inf if math.isnan(item[1].value) else item[1].value)
    told_apart, noisy = separability.auc_within(inside, noisy), noisy * val.split.n_attributes + attribute
    less = separability.less_separated(on_val_NC, val, group)
    shares = separability.Estimate(*(value / scale for value in unseen))
    return Measured(
        gap=Criterion("gap to all other rows, in accuracy", *gap, SMALLEST_GAP),
        recovered=Criterion("share of the gap that a balanced refit closes", *recovered.recovered, MOST_OF_GAP),
        depth=Criterion(f"depth of errors of {val.split.group_name(noisy)} beyond what overlap explains", *depth, DEEP),
        noisy=noisy,
        separate=Criterion(
            "AUC of the group among rows with its attribute", *separability.auc_within(inside, label), SEPARATE
        ),
        told_apart=Criterion("AUC of its class among rows with that attribute", *told_apart, TOLD_APART),
        raw_gain=Criterion("worst-group accuracy, raw inputs minus features", *recovered.raw_gain, RAW_GAIN),
        unseen=Criterion("share of the gap that training rows do not have", *shares, MOST_OF_GAP),
        less_separated=Criterion("AUC of its class elsewhere minus here", *less, LESS_SEPARATED),
    )


def _difference(first: Tensor, second: Tensor, confidence: float) -> separability.Estimate:
    """First minus second accuracy of different rows, by Newcombe (1998), method 10: from Wilson's intervals."""
    if not len(first) or not len(second):
        return separability.UNKNOWN
    right, n = np.array([int(first.sum()), int(second.sum())]), np.array([len(first), len(second)])
    rate, (low, high) = right / n, metrics.wilson(right, n, confidence)
    down, up = math.hypot(rate[0] - low[0], high[1] - rate[1]), math.hypot(high[0] - rate[0], rate[1] - low[1])
    value = rate[0] - rate[1]
    return separability.Estimate(float(value), float(value - down), float(value + up))


def _accuracy(right_N: Tensor) -> float:
    return float(right_N.double().mean())


def _counted(right_N: Tensor, rows: Rows) -> np.ndarray[Any, np.dtype[np.int64]]:
    return torch.bincount(rows.group[right_N], minlength=rows.split.n_groups).numpy()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
