from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

import tiny
from evenhand import methods
from evenhand.batch import Batch
from evenhand.methods._base import State


def test_loss_is_the_mean_over_rows() -> None:
    data, model = tiny.split(), tiny.network()
    total = 0.0
    for row in range(len(data)):
        batch = data.batch(torch.tensor([row]))
        logits = model(batch.x)[0].detach()
        total -= math.log(logits.exp()[batch.y[0]] / logits.exp().sum())
    loss = methods.make("erm").loss(tiny.whole(data), model, State())
    assert loss.item() == pytest.approx(total / len(data), rel=1e-6)


def test_hand_computed_value() -> None:
    logits = tiny.logits_with_loss([1.0, 2.0, 0.5], [0, 1, 1])
    batch = Batch(logits, torch.tensor([0, 1, 1]), None, torch.arange(3))
    assert methods.make("erm").loss(batch, tiny.echo(), State()).item() == pytest.approx(3.5 / 3, abs=1e-12)


def test_an_epoch_shows_every_row_once() -> None:
    data = tiny.split()
    batches = list(methods.make("erm").batches(data, State(), 16, Generator().manual_seed(0)))
    assert [len(rows) for rows in batches] == [16, 16, 16, 12]
    assert sorted(torch.cat(batches).tolist()) == list(range(60))


def test_it_has_no_state() -> None:
    assert methods.make("erm").start(tiny.split(), tiny.network()).state_dict() == {}
