from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods.clusterfix import ClusterFix
from evenhand.methods.erm import ERM


def begin(data: Split, **options: Any) -> tuple[ClusterFix, Any, Any]:
    method, model = ClusterFix(**options), tiny.network(data.n_classes, dtype=data.inputs.x.dtype)
    torch.manual_seed(0)
    return method, model, method.start(data, model)


# --- values computed by hand ---

SIZE = torch.tensor([60.0, 30.0, 10.0], dtype=torch.float64)
LOSS = torch.tensor([0.1, 0.4, 1.0], dtype=torch.float64) + 0.5 * torch.tensor([0.2, 0.6, 2.0], dtype=torch.float64)


def test_weights_of_the_example() -> None:
    tiny.assert_values(ClusterFix(normalise=False).new_weights(LOSS, SIZE), 0.003333, 0.023333, 0.2)
    new_L = ClusterFix().new_weights(LOSS, SIZE)
    tiny.assert_values(new_L, 0.044118, 0.308824, 2.647059)
    tiny.assert_values(torch.ones_like(new_L).lerp(new_L, ClusterFix().momentum), 0.713235, 0.792647, 1.494118)


def test_the_epoch_of_the_example_moves_the_weights_there() -> None:
    from evenhand.methods.clusterfix import _Clusters

    cluster_N = torch.repeat_interleave(torch.arange(3), torch.tensor([60, 30, 10]))
    state = _Clusters(cluster_N, 3, 4, torch.float64)
    state.sum_L.copy_(LOSS * SIZE)
    state.seen_L.copy_(SIZE)
    ClusterFix(gamma=0.5).end_epoch(tiny.split(), tiny.network(), state)
    tiny.assert_values(state.weight_L, 0.713235, 0.792647, 1.494118)
    tiny.assert_values(state.sum_L, 0, 0, 0)


# --- a slow reference ---


@pytest.mark.parametrize(
    "options", [{}, {"normalise": False, "gamma": 0.1}, {"heads": "shared", "momentum": 0.7}, {"gamma": 0.0}]
)
def test_agrees_with_loops_over_rows_and_clusters(options: dict[str, Any]) -> None:
    data = tiny.split(classes=3, dtype=torch.float64)
    method, model, state = begin(data, clusters=4, **options)
    cluster, y = state.cluster_N.tolist(), data.y.tolist()
    weight = [1.0] * 12
    parameters = [*model.parameters(), *state.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for epoch in range(3):
        sums = [0.0] * 12
        for rows in torch.randperm(60, generator=torch.Generator().manual_seed(epoch)).split(16):
            batch = data.batch(rows)
            features = model.encoder(batch.x)
            task, structure = [], []
            for k, row in enumerate(rows.tolist()):
                task.append(F.cross_entropy(model.classifier(features[k]), batch.y[k]))
                logits = state.heads(features[k])
                if method.heads == "label":
                    logits = logits[4 * y[row] : 4 * y[row] + 4]
                place = cluster[row] - (4 * y[row] if method.heads == "label" else 0)
                structure.append(logits.logsumexp(0) - logits[place])
                sums[cluster[row]] += (task[k] + method.gamma * structure[k]).item()
            own = [weight[cluster[row]] for row in rows.tolist()]
            scale = len(own) / sum(own) if method.normalise else 1.0
            wanted = sum(scale * w * t + method.gamma * s for w, t, s in zip(own, task, structure, strict=True))
            wanted = wanted / len(own)
            found = method.loss(batch, model, state)
            torch.testing.assert_close(found, wanted)
            mine = torch.autograd.grad(found, parameters, retain_graph=True, allow_unused=True)
            theirs = torch.autograd.grad(wanted, parameters, allow_unused=True)
            torch.testing.assert_close(mine, theirs)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
        method.end_epoch(data, model, state)
        size = [cluster.count(k) for k in range(12)]
        new = [s / n / n if n else 0.0 for s, n in zip(sums, size, strict=True)]
        if method.normalise:
            new = [w * sum(n > 0 for n in size) / sum(new) for w in new]
        weight = [(1 - method.momentum) * w + method.momentum * n for w, n in zip(weight, new, strict=True)]
        assert state.weight_L.tolist() == pytest.approx(weight)


# --- limits ---


def test_without_momentum_and_gamma_it_is_plain_training() -> None:
    data = tiny.split()
    method, model, state = begin(data, momentum=0.0, gamma=0.0)
    for _ in range(2):
        batch = tiny.whole(data)
        torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))
        method.end_epoch(data, model, state)


def test_one_cluster_a_class_has_no_cluster_loss() -> None:
    data = tiny.split()
    method, model, state = begin(data, clusters=1, gamma=3.0)
    batch = tiny.whole(data)
    torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))


def test_weights_of_a_batch_have_mean_one() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = begin(data, gamma=0.0)
    state.weight_L.copy_(torch.rand(16, generator=torch.Generator().manual_seed(0)) * 1e-3)
    loss_N = F.cross_entropy(model(data.inputs.x), data.y, reduction="none")
    weight_N = state.weight_L[state.cluster_N]
    wanted = (weight_N / weight_N.mean() * loss_N).mean()
    torch.testing.assert_close(method.loss(tiny.whole(data), model, state), wanted)


def test_a_class_with_few_rows_has_clusters_without_rows_and_weight() -> None:
    data = Split.of(torch.randn(23, tiny.FEATURES), torch.tensor([0] * 20 + [1] * 3))
    method, model, state = begin(data)
    for _ in range(2):
        assert math.isfinite(method.loss(tiny.whole(data), model, state).item())
        method.end_epoch(data, model, state)
    assert bool((state.weight_L[state.size_L > 0] > 0).all())
    assert state.weight_L[11:].tolist() == pytest.approx([0.7**2] * 5)


def test_a_cluster_that_was_not_met_keeps_its_weight() -> None:
    data = tiny.split()
    method, model, state = begin(data, clusters=2)
    state.weight_L.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    rows = torch.nonzero(state.cluster_N != 1).flatten()
    method.loss(data.batch(rows), model, state)
    method.end_epoch(data, model, state)
    assert state.weight_L[1] == 2
    assert state.weight_L[0] != 1


# --- stages and heads ---


def test_clusters_are_those_of_the_encoder_as_it_begins() -> None:
    (only,) = ClusterFix().stages()
    assert not only.restart
    first, second = ClusterFix(erm_epochs=2).stages()
    assert (first.method, first.epochs, second.restart) == (ERM(), 2, True)
    assert ClusterFix(erm_epochs=None).stages()[0].epochs is None


@pytest.mark.parametrize("heads", ["label", "shared"])
def test_the_heads_are_trained_each_by_the_rows_of_its_label(heads: Any) -> None:
    data = tiny.split()
    method, model, state = begin(data, clusters=3, heads=heads)
    batch = data.batch(torch.nonzero(data.y == 1).flatten())
    method.loss(batch, model, state).backward()
    slopes = state.heads.weight.grad.abs().sum(1)
    assert bool((slopes[3:] > 0).all())
    assert bool((slopes[:3] == 0).all()) == (heads == "label")


def test_heads_learn_the_clusters() -> None:
    data = tiny.split(200)
    method, model, state = begin(data, clusters=3)
    optimizer = torch.optim.Adam([*model.parameters(), *state.parameters()], lr=0.05)
    for _ in range(100):
        loss = method.loss(tiny.whole(data), model, state)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logits = state.heads(model.encoder(data.inputs.x)).view(200, 2, 3)[torch.arange(200), data.y]
    assert (logits.argmax(1) == state.cluster_N % 3).float().mean() > 0.9


# --- errors ---


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("clusters", 0, "at least 1"),
        ("gamma", -1.0, "at least 0"),
        ("momentum", 1.5, r"in \[0, 1\]"),
        ("erm_epochs", -1, "at least 0"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: float, wanted: str) -> None:
    with pytest.raises(BadInput, match=f"{option} of ClusterFix must be {wanted}, got {value}"):
        ClusterFix(**{option: value})
