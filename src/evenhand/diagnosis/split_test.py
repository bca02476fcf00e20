"""SPLIT on test rows: what the frozen features of a finished run tell about an attribute."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evenhand import features
from evenhand.data import Data
from evenhand.errors import BadInput
from evenhand.metrics import auc
from evenhand.runs import Run

from . import refits
from .separability import UNKNOWN, Estimate, auc_interval

MOST = 10_000  # training rows: enough for a linear fit of some hundred features, and bounds the time


def split_test(run: Run, data: Data, column: int = 0, *, seed: int = 0) -> Estimate:
    """AUC with 95 % interval of telling an attribute of the test rows by a linear layer on frozen features.

    The supervised prediction layer information test of Glocker, Jones, Bernhardt and Winzeck (2023), Algorithmic
    encoding of protected characteristics in chest X-ray disease detection models: the encoder of the run stays as it
    is, and a new linear layer, fitted to training rows, predicts the attribute from its features. Of two values one is
    told from the other; of more the AUC is the mean over values, each told from all others, without an interval.
    Intervals are bootstrapped over test rows.

    Differs from the authors' code: a logistic fit with equal weight on every value in place of a trained layer;
    features in eval mode, so that no batch statistics move; and the penultimate layer where they take logits of
    another task. What the inputs themselves tell is a training of its own: `predict_attribute` of any data set.

    Args:
        run: finished, with predictions for `data`.
        column: which of the attributes.
        seed: of the training rows that are looked at where there are more than `MOST`.

    Raises:
        BadInput: no such attribute, or a run that is not of these data.
    """
    if data.train.attributes is None or not 0 <= column < len(data.train.attribute_sizes):
        raise BadInput(f"{data.name} has no attribute {column} that could be told from features")
    model = features.load_model(run, data)
    train = features.encoded(model, data, "train", most=MOST, seed=seed)
    test = features.encoded(model, data, "test")
    of_train = data.train.attributes[:, column].cpu()[train.rows]
    of_test = _of_test(run, column)[test.rows]
    size = data.train.attribute_sizes[column]
    score_NV = told_by(train.features, of_train, test.features, size)
    if size == 2:
        known = torch.nonzero(of_test >= 0).flatten()
        return auc_interval(score_NV[known, 1], of_test[known] == 1)
    return _mean_over_values(score_NV, of_test)


def told_by(train_MD: Tensor, value_M: Tensor, test_ND: Tensor, n_values: int) -> Tensor:
    """(N, V) how clearly rows have each value, by a logistic fit to other rows in which every value weighs the same.

    Args:
        value_M: of the rows that fit, -1 where it is not known; these are left out.
    """
    known = torch.nonzero(value_M >= 0).flatten()
    of_known = value_M[known]
    rows = refits.Labelled(train_MD[known], of_known, of_known, n_values, n_values)
    return refits.margins(refits.transferred_logits(rows, test_ND))


def _mean_over_values(score_NV: Tensor, value_N: Tensor) -> Estimate:
    known = torch.nonzero(value_N >= 0).flatten()
    scores, values = score_NV[known].double().numpy(), value_N[known].numpy()
    areas = [auc(scores[:, v], (values == v).astype(np.int64)) for v in range(scores.shape[1])]
    return UNKNOWN if np.isnan(areas).all() else Estimate(float(np.nanmean(areas)), np.nan, np.nan)


def _of_test(run: Run, column: int) -> Tensor:
    """(N,) the attribute of the test rows, as the run stored it; -1 where it is not known."""
    table = run.predictions().filter(split="test").sort("row")
    names = [name for name in table.columns if name.startswith("attribute_")]
    return torch.tensor(table[names[column]].fill_null(-1).to_numpy())
