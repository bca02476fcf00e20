from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.gpaco import GPaCo
from evenhand.model import Model


def example(**options: Any) -> Tensor:
    """Two anchors, one queued vector of class 0, classes and logits written down."""
    method = GPaCo(**{"alpha": 0.1, "temperature": 0.5, **options})
    anchors = torch.eye(2, dtype=torch.float64)
    logits = torch.tensor([[1.0, 0], [0, 2]], dtype=torch.float64)
    if method.use_prior:
        logits = logits + torch.tensor([0.75, 0.25], dtype=torch.float64).log()
    others = torch.cat([anchors, torch.tensor([[1.0, 0]], dtype=torch.float64)])
    return method._contrast(logits, torch.tensor([0, 1]), anchors, others, torch.tensor([0, 1, 0]))


def begin(data: Split, seed: int = 0, **options: Any) -> tuple[GPaCo, Model, Any]:
    method, model = GPaCo(**options), tiny.network(data.n_classes, dtype=data.inputs.x.dtype)
    torch.manual_seed(seed)
    return method, model, method.start(data, model)


def twice(data: Split, rows: Tensor) -> Batch:
    return data.batch(torch.cat([rows, rows]))


# --- values computed by hand ---


def test_losses_of_the_example() -> None:
    tiny.assert_values(example(), 0.871828)
    tiny.assert_values(example(use_prior=True), 1.225270)
    tiny.assert_values(example(use_prior=True, smoothing=0.1), 1.365731)


def test_losses_of_each_anchor_of_the_example() -> None:
    method = GPaCo(alpha=0.1, temperature=0.5)
    anchors = torch.eye(2, dtype=torch.float64)
    for anchor, logits, wanted in ((0, [1.0, 0], 1.402903), (1, [0.0, 2], 0.340753)):
        others = torch.cat([anchors[[anchor, 1 - anchor]], anchors[:1]])
        labels = torch.tensor([anchor, 1 - anchor, 0])
        row = torch.tensor([logits], dtype=torch.float64)
        tiny.assert_values(method._contrast(row, labels[:1], anchors[[anchor]], others, labels), wanted)


# --- a slow reference ---


def reference(method: GPaCo, batch: Batch, model: Model, state: Any, prior: list[float]) -> float:
    """Loops over anchors and what they are compared with, for one encoder."""
    features = model.encoder(batch.x)
    z = F.normalize(state.head(features), dim=1)
    others, labels = torch.cat([z, state.queue_KE]), [*batch.y.tolist(), *state.label_K.tolist()]
    total, classes = 0.0, len(prior)
    for i, y in enumerate(batch.y.tolist()):
        logits = ((model.classifier(features[i]) + torch.tensor(prior)) / method.class_temperature).tolist()
        similar = {j: (z[i] @ others[j]).item() / method.temperature for j in range(len(labels)) if j != i}
        below = sum(map(math.exp, logits)) + method.gamma * sum(map(math.exp, similar.values()))
        up, weight = 0.0, 0.0
        for c, logit in enumerate(logits):
            share = 1 - method.smoothing if c == y else method.smoothing / (classes - 1)
            up += method.beta * share * (logit - math.log(below))
            weight += method.beta * share
        for j, logit in similar.items():
            if labels[j] == y:
                up += method.alpha * (logit - math.log(below))
                weight += method.alpha
        total -= up / weight
    return total / len(batch.y)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gamma": 0.5, "beta": 2.0, "class_temperature": 3.0, "temperature": 0.07},
        {"smoothing": 0.1, "alpha": 0.3, "queue": 5},
        {"use_prior": True},
    ],
)
def test_agrees_with_a_loop_over_anchors(options: dict[str, Any]) -> None:
    data = tiny.split(classes=3, dtype=torch.float64)
    method, model, state = begin(data, **options)
    prior = (data.count_C.double() / 60).log().tolist() if method.use_prior else [0.0] * 3
    for rows in torch.arange(24).split(8):
        batch = twice(data, rows)
        wanted = reference(method, batch, model, state, prior)
        assert method.loss(batch, model, state).item() == pytest.approx(wanted, rel=1e-6)


# --- limits ---


def test_without_contrast_it_is_cross_entropy() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = begin(data, alpha=0.0, gamma=0.0)
    wanted = F.cross_entropy(model(data.inputs.x), data.y)
    torch.testing.assert_close(method.loss(tiny.whole(data), model, state), wanted)
    method, model, state = begin(data, alpha=0.0, gamma=0.0, smoothing=0.2)
    # torch spreads its smoothing over all classes, the row's own included.
    wanted = F.cross_entropy(model(data.inputs.x), data.y, label_smoothing=0.4)
    torch.testing.assert_close(method.loss(tiny.whole(data), model, state), wanted)


def test_a_larger_queue_makes_a_larger_denominator() -> None:
    data = tiny.split(dtype=torch.float64)
    losses = []
    for size in (1, 20, 60):
        method, model, state = begin(data, queue=size, alpha=0.0)
        losses.append(method.loss(tiny.whole(data), model, state).item())
    assert losses == sorted(losses)


# --- batches and the queue ---


def test_a_batch_is_two_views_of_every_row() -> None:
    data = tiny.split()
    method, _, state = begin(data)
    batches = list(method.batches(data, state, 16, Generator().manual_seed(0)))
    for rows in batches:
        first, second = rows.chunk(2)
        assert torch.equal(first, second)
        assert len(rows) <= 16
    assert torch.equal(torch.cat([rows.chunk(2)[0] for rows in batches]).sort().values, torch.arange(60))
    assert [len(rows) for rows in method.batches(data, state, 1, Generator())] == [2] * 60


def test_the_queue_begins_with_projections_of_training_rows() -> None:
    data = tiny.split(dtype=torch.float64)
    _, model, state = begin(data, queue=20)
    z = F.normalize(state.head(model.encoder(data.inputs.x)), dim=1)
    found = (z[:, None] - state.queue_KE).norm(dim=2).argmin(0)
    torch.testing.assert_close(z[found], state.queue_KE)
    assert torch.equal(data.y[found], state.label_K)
    assert len(begin(data)[2].label_K) == 60


def test_the_queue_takes_second_views_in_place_of_the_oldest() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = begin(data, queue=7)
    before = state.queue_KE.clone()
    rows = torch.arange(5)
    batch = twice(data, rows)
    batch.x[:5] += 1  # the first view is another
    method.loss(batch, model, state)
    z = F.normalize(state.head(model.encoder(data.inputs.x[:5])), dim=1)
    torch.testing.assert_close(state.queue_KE, torch.cat([z, before[5:]]))
    method.loss(twice(data, torch.arange(5, 9)), model, state)
    assert torch.equal(state.label_K, data.y[torch.tensor([7, 8, 2, 3, 4, 5, 6])])
    method.loss(twice(data, torch.arange(20)), model, state)  # more than it holds
    assert torch.equal(state.label_K.sort().values, data.y[13:20].sort().values)
    assert not state.queue_KE.requires_grad


def test_head_is_trained_with_the_model() -> None:
    data = tiny.split()
    method, model, state = begin(data)
    method.loss(tiny.whole(data), model, state).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in state.parameters())
    assert len([m for m in state.head if isinstance(m, nn.Linear)]) == 3
    assert state.head[-1].out_features == 128


# --- the momentum encoder ---


def test_anchors_are_first_views_and_keys_come_from_the_slow_copy() -> None:
    data = tiny.split(classes=3, dtype=torch.float64)
    method, model, state = begin(data, momentum_encoder=True, momentum=0.9, queue=10)
    with torch.no_grad():
        for parameter in [*model.encoder.parameters(), *state.head.parameters()]:
            parameter.add_(0.5 * torch.randn_like(parameter))
    state.eval()  # batch normalisation by running statistics, so that rows can be looked at one by one
    slow = {name: value.clone() for name, value in state.momentum["encoder"].named_buffers()}
    queue, labels = state.queue_KE.clone(), state.label_K.clone()
    rows = torch.arange(6)
    found = method.loss(twice(data, rows), model, state)
    for name, parameter in model.encoder.named_parameters():
        wanted = 0.9 * slow[name] + 0.1 * parameter
        torch.testing.assert_close(dict(state.momentum["encoder"].named_buffers())[name], wanted)
    x = data.inputs.x[rows]
    q = F.normalize(state.head(model.encoder(x)), dim=1)
    k = F.normalize(state.momentum["head"](state.momentum["encoder"](x)), dim=1)
    y = data.y[rows]
    wanted = method._contrast(model(x), y, q, torch.cat([q, k, queue]), torch.cat([y, y, labels]))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(state.queue_KE[:6], k)


def test_the_slow_copy_is_stored_but_not_trained() -> None:
    data = tiny.split()
    method, model, state = begin(data, momentum_encoder=True)
    assert len(list(state.parameters())) == len(list(state.head.parameters()))
    assert any(key.startswith("momentum.encoder") for key in state.state_dict())
    method.loss(twice(data, torch.arange(8)), model, state).backward()
    assert all(p.grad is not None for p in [*state.parameters(), *model.parameters()])
    losses = tiny.train(method, model, data, data, state, epochs=2)
    assert bool(torch.isfinite(losses).all())


def test_a_single_row_has_anchor_and_key() -> None:
    data = tiny.split()
    method, model, state = begin(data, momentum_encoder=True)
    for rows in (torch.tensor([3]), torch.tensor([3, 3])):
        assert bool(torch.isfinite(method.loss(data.batch(rows), model, state)))


def test_momentum_of_one_never_moves_the_copy_and_of_zero_is_the_encoder() -> None:
    data = tiny.split()
    for momentum, same in ((1.0, False), (0.0, True)):
        method, model, state = begin(data, momentum_encoder=True, momentum=momentum)
        with torch.no_grad():
            model.encoder[0].weight.add_(1)
        method.loss(twice(data, torch.arange(8)), model, state)
        copied = state.momentum["encoder"][0].weight
        assert torch.equal(copied, model.encoder[0].weight) is same


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha of GPaCo must be at least 0, got -1.0"),
        ({"gamma": -1.0}, "gamma of GPaCo must be at least 0, got -1.0"),
        ({"beta": 0.0}, "beta of GPaCo must be above 0, got 0.0"),
        ({"temperature": 0.0}, "temperature of GPaCo must be above 0, got 0.0"),
        ({"class_temperature": 0.0}, "class_temperature of GPaCo must be above 0, got 0.0"),
        ({"queue": 0}, "queue of GPaCo must be at least 1, got 0"),
        ({"dimension": 0}, "dimension of GPaCo must be at least 1, got 0"),
        ({"momentum": 1.1}, r"momentum of GPaCo must be in \[0, 1\], got 1.1"),
        ({"smoothing": 1.0}, r"smoothing of GPaCo must be in \[0, 1\), got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        GPaCo(**options)
