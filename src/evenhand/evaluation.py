"""What a model does on a split: logits, counts, and the figures of each group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand import metrics
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.groups import mean_per_group
from evenhand.losses import cross_entropy
from evenhand.model import Model, in_chunks
from evenhand.settings import Selection

NUMBERS_AT_ONCE = 2**20  # inputs of a chunk
MOST_ROWS = 4096

OnChunk = Callable[[Batch, Tensor, Tensor], None]  # a chunk of rows, its features (B, D) and logits (B, C)

METRIC_OF: dict[str, str] = {
    "worst_group": "worst_group_accuracy",
    "worst_class": "worst_class_accuracy",
    "average": "accuracy",
    "group_mean": "group_mean_accuracy",
    "last": "accuracy",  # recorded only: nothing is selected by it
}


@torch.no_grad()
def predict(model: Model, split: Split, on_chunk: OnChunk | None = None) -> Tensor:
    """(N, C) logits of every row of `split`, in order, with the model in eval mode.

    Args:
        on_chunk: is shown each chunk with the features that its logits were made of.
    """

    def logits(batch: Batch) -> Tensor:
        features_BD = model.encoder(batch.x)
        logits_BC: Tensor = model.classifier(features_BD)
        if on_chunk:
            on_chunk(batch, features_BD, logits_BC)
        return logits_BC

    order, back = None, None
    if split.inputs.lengths is not None:  # texts beside others of their length: less padding
        order = torch.argsort(split.inputs.lengths, stable=True)
        back = torch.argsort(order).to(split.y.device)
    with model.evaluating():
        chunks = in_chunks(split, order, elements=NUMBERS_AT_ONCE, most=MOST_ROWS)
        logits_NC = torch.cat([logits(batch) for batch in chunks]).float()
    return logits_NC if back is None else logits_NC.index_select(0, back)


def evaluate(model: Model, split: Split) -> dict[str, float]:
    """Every metric of `evenhand.metrics` for `model` on `split`, by name."""
    return metrics.evaluate(count(predict(model, split), split))


def count(logits_NC: Tensor, split: Split) -> metrics.Counts:
    """How often each label of each attribute value was predicted as which class; rows of no group do not count."""
    y_N, predicted_N, attribute_N = split.y, logits_NC.argmax(1), split.attribute
    if split.n_unknown:
        rows = torch.nonzero(split.group >= 0).flatten()
        y_N, predicted_N, attribute_N = y_N[rows], predicted_N[rows.to(predicted_N.device)], attribute_N[rows]
    return metrics.count(
        y_N.cpu().numpy(),
        predicted_N.cpu().numpy(),
        attribute_N.cpu().numpy(),
        n_classes=split.n_classes,
        n_attributes=split.n_attributes,
    )


def row_figures(logits_NC: Tensor, y_N: Tensor) -> Tensor:
    """(N, 2) loss (nats) of each row, and 1 where the prediction is right, else 0."""
    right_N = (logits_NC.argmax(1) == y_N).float()
    return torch.stack((cross_entropy(logits_NC, y_N), right_N), dim=1)


def per_group(figures_N2: Tensor, group_N: Tensor, n_groups: int) -> dict[str, list[Any]]:
    """Mean loss, accuracy and number of rows of each group; None for a group without rows. Group -1 does not count."""
    # One group more takes the rows of none.
    means_G2, count_G = (each[1:] for each in mean_per_group(figures_N2, group_N + 1, n_groups + 1))
    count = count_G.long().tolist()
    loss, accuracy = ([v if n else None for v, n in zip(c, count, strict=True)] for c in means_G2.T.tolist())
    return {"loss": loss, "accuracy": accuracy, "count": count}


def score(counts: metrics.Counts, rule: Selection) -> float:
    """The validation figure that selection maximises, in [0, 1]."""
    if rule == "class_gap":
        return float(1 - np.ptp(counts.accuracy_C[counts.count_C > 0]))
    name = METRIC_OF[rule]
    return metrics.evaluate(counts, [name])[name]


def selection_score(logits_NC: Tensor, val: Split, rule: Selection) -> float:
    """`score` on a split; rules that look at no groups take rows of unknown groups in."""
    by_group = rule in ("worst_group", "group_mean")
    return score(count(logits_NC, val if by_group else val.without_groups()), rule)


def check_selectable(val: Split, rule: Selection, train: Split | None = None) -> None:
    """Raise BadInput if `rule` cannot be judged on this validation split.

    A group that neither `val` nor `train` has any rows of is no group that could be missing.
    """
    if len(val) == 0:
        raise BadInput("the validation split has no rows, so no epoch can be selected or judged")
    if rule in ("worst_group", "group_mean"):
        if not val.has_attributes:
            raise BadInput(
                f"select={rule} needs group labels in validation; choose select=worst_class or select=average"
            )
        missing_G = (val.count_G == 0) if train is None else (val.count_G == 0) & (train.count_G > 0)
        empty = [val.group_name(g) for g in torch.nonzero(missing_G).flatten().tolist()]
        if empty:
            raise BadInput(
                f"select={rule} needs rows of every group in validation; there are none of {'; '.join(empty)}. "
                "Choose select=worst_class or select=average, or another split"
            )
    missing = torch.nonzero(val.count_C == 0).flatten().tolist()
    if rule in ("worst_class", "class_gap") and missing:
        names = "; ".join(val.class_names[c] if val.class_names else str(c) for c in missing)
        raise BadInput(f"select={rule} needs rows of every class in validation; there are none of {names}")
