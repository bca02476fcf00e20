from __future__ import annotations

import pytest
import torch
from torch import nn

import tiny
from evenhand.batch import Split
from evenhand.model import Model, in_chunks


def test_forward_is_classifier_of_encoder() -> None:
    model, x = tiny.network(3), torch.randn(4, tiny.FEATURES)
    assert torch.equal(model(x), model.classifier(model.encoder(x)))
    assert model(x).shape == (4, 3)


def test_parts_are_the_halves_and_the_whole() -> None:
    model = tiny.network()
    assert model.part("all") is model
    assert model.part("encoder") is model.encoder
    assert model.part("classifier") is model.classifier


def test_linear_makes_a_classifier_with_or_without_bias() -> None:
    assert Model.linear(nn.Identity(), 4, 3).classifier.bias is not None
    assert Model.linear(nn.Identity(), 4, 3, bias=False).classifier.bias is None


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_restored_in_every_part_also_after_an_error(training: bool) -> None:
    model = Model.linear(nn.Sequential(nn.Dropout(), nn.BatchNorm1d(tiny.FEATURES)), tiny.FEATURES, 2)
    model.train(training)
    model.encoder[1].eval()  # a part that its owner keeps in eval mode
    before = [module.training for module in model.modules()]
    with model.evaluating():
        assert not any(module.training for module in model.modules())
    with model.mode(training=True):
        assert all(module.training for module in model.modules())
    with pytest.raises(ZeroDivisionError), model.evaluating():
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize("n_rows", [0, 1, 127, 128, 129, 500])
def test_chunks_hold_every_row_once_in_order(n_rows: int) -> None:
    data = Split.of(torch.randn(max(n_rows, 1), 3), torch.zeros(max(n_rows, 1), dtype=torch.int64))
    batches = list(in_chunks(data, torch.arange(n_rows)))
    assert torch.cat([torch.zeros(0, dtype=torch.int64), *(b.rows for b in batches)]).tolist() == list(range(n_rows))
    assert all(len(batch.y) for batch in batches)


def test_chunks_are_large_for_small_rows_and_small_for_large_ones() -> None:
    small = Split.of(torch.zeros(9000, 32), torch.zeros(9000, dtype=torch.int64))
    assert [len(batch.y) for batch in in_chunks(small)] == [128, 4096, 4096, 680]
    large = Split.of(torch.zeros(400, 3, 16, 16), torch.zeros(400, dtype=torch.int64))
    assert [len(batch.y) for batch in in_chunks(large, elements=150 * 3 * 16 * 16)] == [128, 150, 122]
    assert [len(batch.y) for batch in in_chunks(large, elements=1)] == [128, 128, 128, 16]


def test_chunks_of_chosen_rows() -> None:
    data = tiny.split()
    rows = torch.tensor([5, 3, 59])
    (batch,) = in_chunks(data, rows)
    assert torch.equal(batch.rows, rows)
    assert torch.equal(batch.x, data.inputs.take(rows))
