"""Where the class directions of NC-debias come from: all rows, a few of them, or the epoch's own batches."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from test_ncdebias import begin, reference_weights, tiny_split
from torch import Generator

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.ncdebias import NCDebias
from evenhand.model import Model


def after_an_epoch(data: Split, **options: Any) -> Model:
    """The model after an epoch of batches whose losses are computed, but not followed."""
    method, model, state = begin(data, data, **options)
    with torch.no_grad():  # what `start` has seen is long past
        for parameter in model.encoder.parameters():
            parameter.mul_(1.5).add_(0.1)
    for rows in method.batches(data, state, 16, Generator().manual_seed(0)):
        method.loss(data.batch(rows), model, state)
    method.end_epoch(data, model, state, data)
    return model


def test_running_statistics_of_an_encoder_at_rest_are_exact() -> None:
    data = tiny_split(n_rows=300, classes=3)
    wanted = after_an_epoch(data).classifier
    found = after_an_epoch(data, statistics="running").classifier
    torch.testing.assert_close(found.weight, wanted.weight)
    assert torch.count_nonzero(found.bias) == 0


def test_running_statistics_begin_anew_in_every_epoch() -> None:
    data = tiny_split(n_rows=300)
    method, model, state = begin(data, statistics="running", subsample=300)
    for epoch in range(2):
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.add_(0.3 * (epoch + 1))
        for rows in torch.arange(300).split(32):
            method.loss(data.batch(rows), model, state)
        method.end_epoch(data, model, state)
        torch.testing.assert_close(model.classifier.weight, reference_weights(data, data, model))


def test_running_statistics_follow_no_gradient_and_leave_the_loss_alone() -> None:
    data = tiny_split()
    gradients = []
    for statistics in ("exact", "running"):
        method, model, state = begin(data, statistics=statistics, subsample=60)
        loss = method.loss(tiny.whole(data), model, state)
        loss.backward()
        gradients.append([loss.detach(), *(p.grad for p in model.encoder.parameters())])
        assert not any(buffer.requires_grad for buffer in state.buffers())
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted)


def test_running_statistics_keep_the_direction_of_a_class_that_no_batch_had() -> None:
    data = tiny_split()
    method, model, state = begin(data, statistics="running", subsample=60)
    before = model.classifier.weight.clone()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.5)
    method.loss(data.batch(torch.nonzero(data.y == 1).flatten()), model, state)
    method.end_epoch(data, model, state)
    torch.testing.assert_close(model.classifier.weight[0], before[0])
    torch.testing.assert_close(model.classifier.weight[1], reference_weights(data, data, model)[1])


@pytest.mark.parametrize("statistics", ["running", "subsample"])
@pytest.mark.parametrize("steps", [0, 3, 7])
def test_statistics_continue_from_their_buffers(statistics: Any, steps: int) -> None:
    """A run stopped after any step ends as one that was not, bit for bit."""
    data = tiny_split(n_rows=100)
    method, model, state = begin(data, statistics=statistics, subsample=5)
    batches = list(torch.arange(100).split(16))
    for rows in batches[:steps]:
        method.loss(data.batch(rows), model, state)
    saved = deepcopy((model.state_dict(), state.state_dict()))
    _, again, fresh = begin(data, statistics=statistics, subsample=5)
    again.load_state_dict(saved[0])
    fresh.load_state_dict(saved[1])
    for rows in batches[steps:]:
        method.loss(data.batch(rows), model, state)
        method.loss(data.batch(rows), again, fresh)
    method.end_epoch(data, model, state)
    method.end_epoch(data, again, fresh)
    assert torch.equal(again.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize("statistics_from", ["train", "val"])
def test_a_subsample_of_all_rows_is_exact(statistics_from: Any) -> None:
    data = tiny_split(n_rows=300, classes=3)
    wanted = after_an_epoch(data, statistics_from=statistics_from).classifier.weight
    found = after_an_epoch(data, statistics="subsample", subsample=300, statistics_from=statistics_from)
    assert torch.equal(found.classifier.weight, wanted)


@pytest.mark.parametrize("n_rows", [1, 4, 20])
def test_a_subsample_has_so_many_rows_of_each_largest_group(n_rows: int) -> None:
    data = tiny_split(n_rows=300, classes=3)
    torch.manual_seed(5)
    method, model, state = begin(data, statistics="subsample", subsample=n_rows)
    largest = [y * 2 + int(data.count_G[2 * y : 2 * y + 2].argmax()) for y in range(3)]
    counted = torch.bincount(data.group[state.rows], minlength=6).tolist()
    assert counted == [min(n_rows, int(data.count_G[g])) if g in largest else 0 for g in range(6)]
    assert len(state.rows.unique()) == len(state.rows)
    chosen = Split.of(data.inputs.x[state.rows], data.y[state.rows], data.attributes[state.rows], attribute_sizes=[2])
    torch.testing.assert_close(model.classifier.weight, reference_weights(chosen, chosen, model))
    before = state.rows.clone()
    method.end_epoch(data, model, state)
    assert torch.equal(state.rows, before)


def test_subsamples_follow_from_the_seed() -> None:
    data, drawn = tiny_split(n_rows=300), []
    for seed in (0, 0, 1):
        model = tiny.network(dtype=torch.float64)
        torch.manual_seed(seed)
        drawn.append(NCDebias(statistics="subsample", subsample=20).start(data, model).rows)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_only_subsamples_and_running_sums_are_stored() -> None:
    data = tiny_split(n_rows=300)
    stored = begin(data)[2].state_dict()
    assert sorted(stored) == ["sum_GD"]
    assert torch.count_nonzero(stored["sum_GD"]) == 0
    assert sorted(begin(data, statistics="subsample")[2].state_dict()) == ["rows", "sum_GD"]


@pytest.mark.parametrize("statistics", ["running", "subsample"])
def test_statistics_are_exact_only_where_that_is_what_the_published_code_does(statistics: Any) -> None:
    with pytest.raises(BadInput, match=f"legacy of NCDebias takes statistics=exact, got statistics={statistics}"):
        NCDebias(legacy=True, statistics=statistics)


def test_running_statistics_are_those_of_training() -> None:
    with pytest.raises(BadInput, match="come from training batches, got statistics_from=val"):
        NCDebias(statistics="running", statistics_from="val")
    with pytest.raises(BadInput, match="subsample of NCDebias must be at least 1, got 0"):
        NCDebias(subsample=0)


@pytest.mark.parametrize("statistics", ["running", "subsample"])
def test_no_statistics_wait_for_a_value(statistics: Any) -> None:
    data = tiny_split()
    method, model, state = begin(data, statistics=statistics)
    batch = Batch(*(part.to("meta") for part in tiny.whole(data)))
    assert method.loss(batch, model.to("meta"), state.to("meta")).shape == ()


def test_running_statistics_in_half_precision() -> None:
    data, model, method = tiny.split(), tiny.network(), NCDebias(statistics="running", subsample=60)
    with torch.autocast("cpu", torch.bfloat16):
        state = method.start(data, model)
        method.loss(tiny.whole(data), model, state)
        method.end_epoch(data, model, state)
    assert state.sum_GD.dtype == torch.float32
    torch.testing.assert_close(model.classifier.weight, reference_weights(data, data, model), atol=0.01, rtol=0.01)
