"""Classifier re-training: a fresh last layer on balanced batches of features that stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Generator
from torch.nn import functional as F

import tiny
from evenhand import methods
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.crt import CRT


def test_the_first_stage_is_plain_and_the_last_trains_the_classifier() -> None:
    first, last = CRT(crt_epochs=3, erm_epochs=5).stages()
    assert (type(first.method).__name__, first.epochs, first.trains) == ("ERM", 5, "all")
    assert (last.method, last.epochs, last.trains) == (CRT(crt_epochs=3, erm_epochs=5), 3, "classifier")


@pytest.mark.parametrize("reset", [True, False])
def test_a_fresh_classifier_is_begun_with_only_where_asked_for(reset: bool) -> None:
    split = tiny.split()
    model = tiny.network(split.n_classes)
    before, encoder = model.classifier.weight.clone(), [p.clone() for p in model.encoder.parameters()]
    CRT(reset=reset).start(split, model)
    assert torch.equal(before, model.classifier.weight) == (not reset)
    assert all(torch.equal(a, b) for a, b in zip(encoder, model.encoder.parameters(), strict=True))


def test_every_class_has_the_same_expected_share() -> None:
    split = tiny.split(n_rows=600)
    rare = torch.nonzero(split.y == 0).flatten()[:20]
    split = split.subset(torch.cat([rare, torch.nonzero(split.y > 0).flatten()]))
    rng = Generator().manual_seed(0)
    rows = torch.cat([torch.cat(list(CRT().batches(split, State(), 64, rng))) for _ in range(20)])
    share_C = torch.bincount(split.y[rows], minlength=split.n_classes) / len(rows)
    assert len(rows) == 20 * len(split)
    assert share_C == pytest.approx([1 / split.n_classes] * split.n_classes, abs=0.02)


def test_the_loss_is_cross_entropy_of_features_in_eval_mode_and_moves_the_classifier_only() -> None:
    split = tiny.split()
    model = tiny.network(split.n_classes)
    batch = split.batch(torch.arange(16))
    loss = CRT().loss(batch, model, State())
    model.eval()
    expected = F.cross_entropy(model(batch.x), batch.y).detach()
    tiny.assert_values(loss.detach(), float(expected))
    loss.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert float(model.classifier.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("option", ["crt_epochs", "erm_epochs"])
def test_no_epoch_is_refused(option: str) -> None:
    with pytest.raises(BadInput, match=f"{option} of CRT must be at least 1"):
        methods.make("crt", **{option: 0})
