"""Columns of a table: scores add up to the logit, categories are one column, shuffling hits what is used."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from evenhand.batch import Split, TensorInputs
from evenhand.data._base import Data, Sealed
from evenhand.errors import BadInput
from evenhand.explanations import columns
from evenhand.model import Model

pytest.importorskip("captum", reason="the extra evenhand[explain] is not installed")

NAMES = ("age", "hours", "age=missing", "sex=Male", "sex=Female")


def table(n_rows: int = 120, seed: int = 0) -> Data:
    parts = [tiny.split(n_rows, seed=seed + part) for part in range(3)]
    return Data("made", parts[0], parts[1], Sealed(parts[2]), "f", {}, NAMES)


def weighing(*weights: float) -> Model:
    """A linear model whose second logit is the weighted sum of its inputs, and whose first is 0."""
    model = Model.linear(nn.Identity(), len(weights), 2)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor([[0.0] * len(weights), weights]))
        model.classifier.bias.zero_()
    return model


def test_inputs_of_one_column_are_one() -> None:
    names, variable_X = columns.variables(table())
    assert names == ("age", "hours", "sex")
    assert variable_X.tolist() == [0, 1, 0, 2, 2]


def test_scores_of_a_linear_model_are_its_terms() -> None:
    data, weights = table(), torch.tensor([2.0, -1.0, 0.5, 3.0, 0.0])
    found = columns.attribute(weighing(*weights.tolist()), data, data.val, [5, 0, 7], [1, 1, 0])
    assert isinstance(data.train.inputs, TensorInputs)
    assert isinstance(data.val.inputs, TensorInputs)
    term_BX = weights * (data.val.inputs.x[[5, 0]] - data.train.inputs.x.mean(0))
    expected_BF = torch.stack([term_BX[:, 0] + term_BX[:, 2], term_BX[:, 1], term_BX[:, 3:].sum(1)], 1)
    np.testing.assert_allclose(found.scores_BF[:2], expected_BF, atol=1e-5)
    np.testing.assert_array_equal(found.scores_BF[2], 0)  # of the logit that is always 0
    assert (found.rows, found.targets) == ((5, 0, 7), (1, 1, 0))


@pytest.mark.parametrize("relu", [False, True])
def test_scores_add_up_to_the_difference_of_logits(relu: bool) -> None:
    data, model = table(), tiny.network(seed=3)
    if relu:
        torch.manual_seed(0)
        model = Model.linear(nn.Sequential(nn.Linear(5, 30), nn.ReLU(), nn.Linear(30, 9), nn.ReLU()), 9, 2)
    model.classifier.weight.data *= 20
    rows = list(range(60))
    found = columns.attribute(model, data, data.val, rows, [1] * 60)
    with torch.no_grad():
        x_NX = data.val.inputs.take(torch.arange(60))
        baseline_X = data.train.inputs.take(torch.arange(120)).mean(0, keepdim=True)
        expected_B = (model(x_NX) - model(baseline_X))[:, 1]
    np.testing.assert_allclose(found.difference_B, expected_B, atol=1e-4)
    np.testing.assert_allclose(found.scores_BF.sum(1) + found.error_B, found.difference_B, atol=1e-4)
    assert (np.abs(found.error_B) <= 0.01 * np.maximum(1, np.abs(found.difference_B)) + 1e-4).all()


def test_rows_are_explained_alike_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = table(), tiny.network()
    together = columns.attribute(model, data, data.val, range(10), [0] * 10)
    monkeypatch.setattr(columns, "ROWS", 3)
    apart = columns.attribute(model, data, data.val, range(10), [0] * 10)
    np.testing.assert_allclose(together.scores_BF, apart.scores_BF, atol=1e-5)


def test_a_model_in_training_mode_is_left_in_it() -> None:
    data, model = table(), tiny.network().train()
    columns.attribute(model, data, data.val, [0], [0])
    columns.importance(model, data, repeats=1)
    assert model.training
    assert model.encoder.training


def test_no_rows_have_no_scores() -> None:
    data = table()
    found = columns.attribute(tiny.network(), data, data.val, [], [])
    assert found.scores_BF.shape == (0, 3)
    assert np.isnan(columns.strength(found, [], 2)).all()


def test_strength_is_the_mean_absolute_score_of_each_group() -> None:
    scores_BF = np.array([[1.0, -2.0], [-3.0, 0.0], [5.0, 5.0]])
    found = columns.Columns(("a", "b"), scores_BF, (0, 1, 2), (0, 0, 0), scores_BF.sum(1), np.zeros(3))
    np.testing.assert_allclose(columns.strength(found, [0, 0, 2], 3), [[2, 1], [np.nan] * 2, [5, 5]])


def test_a_group_that_is_not_known_belongs_to_none() -> None:
    found = columns.Columns(("a",), np.ones((2, 1)), (0, 1), (0, 0), np.ones(2), np.zeros(2))
    np.testing.assert_allclose(columns.strength(found, [-1, 0], 1), [[1]])


def planted(n_rows: int = 400) -> Data:
    """The class is the sign of `hours`; in the last group, of `age` instead."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n_rows, 5, generator=rng)
    attribute = torch.arange(n_rows) % 2
    y = torch.where(attribute == 1, x[:, 0] > 0, x[:, 1] > 0).long()
    x[attribute == 0, 0] = 0
    x[attribute == 1, 1] = 0
    split = Split.of(x, y, attribute, n_classes=2, attribute_sizes=[2])
    return Data("planted", split, split, Sealed(split), "f", {}, NAMES)


def test_shuffling_a_column_hits_the_groups_that_need_it_and_no_others() -> None:
    data, model = planted(), weighing(10.0, 10.0, 0.0, 0.0, 0.0)
    found = columns.importance(model, data, repeats=5)
    assert found.worst_group_accuracy == 1
    assert found.names == ("age", "hours", "sex")
    np.testing.assert_array_equal(found.accuracy_G, 1)
    assert found.lost_FG[0, [1, 3]].min() > 0.2  # groups y=0,a=1 and y=1,a=1 live on age
    assert found.lost_FG[1, [0, 2]].min() > 0.2
    np.testing.assert_array_equal(found.lost_FG[2], 0)  # nobody looks at sex
    assert found.lost_F[0] > 0.2
    assert found.lost_F[2] == found.sd_F[2] == 0
    assert (found.sd_F[:2] > 0).all()


def test_shuffling_is_that_of_a_slow_loop() -> None:
    data, model = table(), tiny.network(seed=1)
    found = columns.importance(model, data, repeats=2, seed=7)
    rng, val = torch.Generator().manual_seed(7), data.val
    orders = [torch.randperm(len(val), generator=rng) for _ in range(2)]
    for place, own in enumerate([[0, 2], [1], [3, 4]]):
        lost = []
        for order in orders:
            x = val.inputs.take(torch.arange(len(val))).clone()
            for column in own:
                x[:, column] = x[order, column]
            with torch.no_grad():
                right = (model(x).argmax(1) == val.y).double()
            lost.append(found.worst_group_accuracy - min(float(right[val.group == g].mean()) for g in range(4)))
        assert found.lost_F[place] == pytest.approx(np.mean(lost))
        assert found.sd_F[place] == pytest.approx(np.std(lost, ddof=1))


def test_shuffling_is_the_same_for_a_seed() -> None:
    data, model = table(), tiny.network()
    first, again, other = (columns.importance(model, data, repeats=3, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.lost_FG, again.lost_FG)
    assert not np.array_equal(first.lost_FG, other.lost_FG)


def test_groups_without_rows_and_rows_without_group_do_not_count() -> None:
    data = table()
    assert data.val.attributes is not None
    attributes = data.val.attributes.clone()
    attributes[data.val.group == 3] = 0
    attributes[:10] = -1
    found = columns.importance(tiny.network(), replace(data, val=replace(data.val, attributes=attributes)), repeats=2)
    assert np.isnan(found.accuracy_G[3])
    assert np.isnan(found.lost_FG[:, 3]).all()
    assert np.isfinite(found.lost_F).all()
    assert found.worst_group_accuracy == np.nanmin(found.accuracy_G)


def test_classes_are_the_groups_of_data_without_attributes() -> None:
    data = table()
    found = columns.importance(tiny.network(), replace(data, val=data.val.without_groups()), repeats=1)
    assert found.groups == ("y=0", "y=1")
    np.testing.assert_array_equal(found.sd_F, 0)


def test_what_cannot_be_explained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = table(), tiny.network()
    with pytest.raises(BadInput, match="2 rows and 1 targets"):
        columns.attribute(model, data, data.val, [0, 1], [0])
    with pytest.raises(BadInput, match="inputs of made are not one"):
        columns.importance(model, replace(data, feature_names=()))
    with pytest.raises(BadInput, match="at least 1, got 0"):
        columns.importance(model, data, repeats=0)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(BadInput, match=r"evenhand\[explain\]"):
        columns.attribute(model, data, data.val, [0], [0])
