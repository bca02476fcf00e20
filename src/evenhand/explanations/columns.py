"""Which columns of a table a model's decisions come from, row by row, and which the worst group depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from evenhand.batch import Split
from evenhand.data._base import Data
from evenhand.errors import BadInput
from evenhand.explanations.gradients import check_installed, integrated
from evenhand.groups import mean_per_group
from evenhand.model import Model, in_chunks

Floats = NDArray[np.float64]
ROWS = 1024  # explained at a time


@dataclass(frozen=True, eq=False)
class Columns:
    """What each column of a table adds to the logit of the target class.

    Attributes:
        names: of the F columns as the table has them; those that stand for the values of one are that one.
        scores_BF: (B, F) float64, in units of the logit; negative speaks against the class.
        rows: (B,) where in the split.
        targets: (B,) the classes whose logits are explained.
        difference_B: (B,) the logit less that of the baseline: what the scores add up to, but for `error_B`.
        error_B: (B,) by how much the scores miss it.
    """

    names: tuple[str, ...]
    scores_BF: Floats  # noqa: N815
    rows: tuple[int, ...]
    targets: tuple[int, ...]
    difference_B: Floats  # noqa: N815
    error_B: Floats  # noqa: N815


@dataclass(frozen=True, eq=False)
class Importance:
    """What is lost when a column is shuffled.

    Attributes:
        names: of the F columns.
        repeats: how often each was shuffled.
        worst_group_accuracy: before, in [0, 1].
        lost_F: (F,) that less the worst-group accuracy with the column shuffled, mean over repeats; negative where
            the worst group is served better without the column.
        sd_F: (F,) its standard deviation over repeats.
        groups: names of the G groups.
        accuracy_G: (G,) before; NaN for a group without rows.
        lost_FG: (F, G) of each group's accuracy, mean over repeats.
    """

    names: tuple[str, ...]
    repeats: int
    worst_group_accuracy: float
    lost_F: Floats  # noqa: N815
    sd_F: Floats  # noqa: N815
    groups: tuple[str, ...]
    accuracy_G: Floats  # noqa: N815
    lost_FG: Floats  # noqa: N815


def attribute(model: Model, data: Data, split: Split, rows: Sequence[int], targets: Sequence[int]) -> Columns:
    """What each column adds to the target's logit, by integrated gradients from the mean training row.

    Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, equation 1, by captum. With b the mean
    of the training rows' inputs (0 for standardised numbers, shares for categories):

        scores_BF = (x - b) * mean over t in [0, 1] of d logit(b + t (x - b)) / dx
        scores_BF.sum(1) ≈ logit(x) - logit(b)

    Inputs that stand for the values of one column (`sex=Male`, `age=missing`) are summed under its name, which is what
    comes before the first `=`.

    Args:
        data: whose model it is: names of columns, and the training rows.
        split: where the rows are.
        targets: a class for each of the rows.

    Raises:
        BadInput: the inputs are not a table, targets are not one class for each row, or captum is not installed.
    """
    check_installed()
    names, variable_X = variables(data)
    if len(rows) != len(targets):
        raise BadInput(f"every row needs a target class, got {len(rows)} rows and {len(targets)} targets")
    baseline_X = _mean(data.train).to(_device(model))
    rows_B, targets_B = torch.tensor(list(rows), dtype=torch.long), torch.tensor(list(targets), dtype=torch.long)
    scores, differences, errors = [], [], []
    with model.evaluating():
        for some_B, target_B in zip(torch.split(rows_B, ROWS), torch.split(targets_B, ROWS), strict=True):
            x_BX = split.inputs.take(some_B).to(_device(model))
            found = integrated(model, x_BX, baseline_X.expand_as(x_BX), target_B.to(_device(model)))
            summed_BF = found.scores.new_zeros(len(x_BX), len(names))
            scores.append(summed_BF.index_add(1, variable_X.to(_device(model)), found.scores))
            differences.append(found.difference_B)
            errors.append(found.error_B)
    parts = (_numpy(scores, (0, len(names))), _numpy(differences, (0,)), _numpy(errors, (0,)))
    return Columns(names, parts[0], tuple(rows_B.tolist()), tuple(targets_B.tolist()), *parts[1:])


def strength(found: Columns, group_B: Sequence[int], n_groups: int) -> Floats:
    """(G, F) mean absolute score of each column over the rows of each group; NaN for a group without rows."""
    inside_B = np.asarray(group_B, dtype=np.int64)
    member_GB = (inside_B == np.arange(n_groups)[:, None]).astype(np.float64)
    count_G1 = member_GB.sum(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        mean_GF: Floats = member_GB @ np.abs(found.scores_BF) / np.where(count_G1 > 0, count_G1, np.nan)
    return mean_GF


@torch.no_grad()
def importance(model: Model, data: Data, *, repeats: int = 10, seed: int = 0) -> Importance:
    """How much of the worst group's accuracy on validation hangs on each column.

    Breiman (2001), Random forests, Section 10: the values of a column are dealt to other rows at random, which leaves
    the column as it is and breaks its link with label and group. Groups are classes where there are no attributes;
    rows of unknown groups are left out. All columns are shuffled by the same permutations.

    Raises:
        BadInput: the inputs are not a table, or `repeats` is below 1.
    """
    names, variable_X = variables(data)
    if repeats < 1:
        raise BadInput(f"repeats must be at least 1, got {repeats}")
    val, device, rng = data.val.known(), _device(model), Generator().manual_seed(seed)
    x_NX = torch.cat([batch.x for batch in in_chunks(val)]).to(device)
    y_N, group_N = val.y.to(device), val.group.to(device)
    orders = [torch.randperm(len(val), generator=rng).to(device) for _ in range(repeats)]
    members = [torch.nonzero(variable_X == f).flatten().to(device) for f in range(len(names))]

    def accuracy(x: Tensor) -> Tensor:
        right_N = (model(x).argmax(1) == y_N).double()
        mean_G, count_G = mean_per_group(right_N, group_N, val.n_groups)
        return torch.where(count_G > 0, mean_G, torch.nan)

    with model.evaluating():
        before_G = accuracy(x_NX)
        shuffled = torch.stack([
            torch.stack([accuracy(x_NX.index_copy(1, own, x_NX[order[:, None], own])) for order in orders])
            for own in members
        ])  # fmt: skip
    worst = before_G.nan_to_num(torch.inf).min()
    lost_FR = (worst - shuffled.nan_to_num(torch.inf).amin(2)).cpu().numpy()
    return Importance(
        names, repeats, float(worst), lost_FR.mean(1), lost_FR.std(1, ddof=int(repeats > 1)),
        tuple(val.group_name(g) for g in range(val.n_groups)), before_G.cpu().numpy(),
        (before_G - shuffled.mean(1)).cpu().numpy(),
    )  # fmt: skip


def variables(data: Data) -> tuple[tuple[str, ...], Tensor]:
    """The columns that the inputs of a table came from, and (X,) which of them each input belongs to.

    Raises:
        BadInput: the inputs are not a table.
    """
    if not data.feature_names:
        raise BadInput(f"columns can be explained of tables only, and the inputs of {data.name} are not one")
    own = [name.partition("=")[0] or name for name in data.feature_names]
    names = tuple(dict.fromkeys(own))
    place = {name: number for number, name in enumerate(names)}
    return names, torch.tensor([place[name] for name in own])


@torch.no_grad()
def _mean(train: Split) -> Tensor:
    """(X,) of the inputs of all rows."""
    total = sum((batch.x.double().sum(0) for batch in in_chunks(train)), start=torch.zeros((), dtype=torch.float64))
    return (total / len(train)).float()


def _device(model: Model) -> torch.device:
    return model.classifier.weight.device


def _numpy(parts: list[Tensor], empty: tuple[int, ...]) -> Any:
    return torch.cat(parts).double().cpu().numpy() if parts else np.zeros(empty)
