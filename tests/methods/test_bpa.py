from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods.bpa import BPA
from evenhand.methods.erm import ERM

BATCH = torch.tensor([0, 0, 1, 2])


def example(**options: Any) -> tuple[BPA, Any]:
    """Three clusters of 60, 30 and 10 rows: a state made from scratch, with clusters that are given."""
    from evenhand.methods.bpa import _Difficulties

    cluster_N = torch.repeat_interleave(torch.arange(3), torch.tensor([60, 30, 10]))
    return BPA(**options), _Difficulties(cluster_N, 3, torch.float64)


def begin(data: Split, **options: Any) -> tuple[BPA, Any, Any]:
    method, model = BPA(**options), tiny.network(data.n_classes, dtype=data.inputs.x.dtype)
    torch.manual_seed(0)
    return method, model, method.start(data, model)


def tell(state: Any, *losses: float) -> None:
    """Every row of cluster c has this loss."""
    state.record(torch.arange(100), state.cluster_N, torch.tensor(losses, dtype=torch.float64)[state.cluster_N])


# --- values computed by hand ---


def test_weights_of_the_first_epoch_of_the_example() -> None:
    tiny.assert_values(example()[0].weights(BATCH, example()[1]), 0.4, 0.4, 0.8, 2.4)
    method, state = example(exp_step=0.05)
    tiny.assert_values(method.weights(BATCH, state), 0.374833, 0.374833, 0.764810, 2.485525)


@pytest.mark.parametrize(
    ("exp_step", "wanted"),
    [(0.0, (0.086957, 0.086957, 0.434783, 3.391304)), (0.05, (0.075338, 0.075338, 0.383298, 3.466025))],
)
def test_weights_of_the_example(exp_step: float, wanted: tuple[float, ...]) -> None:
    method, state = example(exp_step=exp_step)
    tell(state, 0.2, 0.5, 1.3)
    state.refresh(torch.ones(()))
    tiny.assert_values(100 / state.size_L * state.difficulty_L / state.difficulty_L.sum(), 0.166667, 0.833333, 6.5)
    tiny.assert_values(method.weights(BATCH, state), *wanted)


# --- a slow reference ---


@pytest.mark.parametrize("options", [{}, {"momentum": 1.0, "exp_step": 0.05, "refresh_every": 2}, {"refresh_every": 1}])
def test_agrees_with_loops_over_rows_and_clusters(options: dict[str, Any]) -> None:
    data = tiny.split(classes=3, dtype=torch.float64)
    method, model, state = begin(data, clusters=3, **options)
    cluster = state.cluster_N.tolist()
    size = [max(cluster.count(k), 1) for k in range(9)]
    row_loss: dict[int, float] = {}
    difficulty, steps = [0.0] * 9, 0

    def refresh(all_seen: bool) -> None:
        for k in range(9):
            mine = [loss for row, loss in row_loss.items() if cluster[row] == k]
            if mine:
                share = method.momentum if all_seen else 1.0
                difficulty[k] += share * (sum(mine) / len(mine) - difficulty[k])

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        for rows in torch.randperm(60, generator=torch.Generator().manual_seed(epoch)).split(16):
            batch = data.batch(rows)
            loss_B = F.cross_entropy(model(batch.x), batch.y, reduction="none")
            all_seen = len(row_loss) == 60
            weight = [
                60 / size[cluster[i]] * (difficulty[cluster[i]] / sum(difficulty) if all_seen else 1)
                for i in rows.tolist()
            ]
            weight = [w * len(rows) / sum(weight) for w in weight]
            if method.exp_step:
                weight = [w * math.exp(method.exp_step * w) for w in weight]
                weight = [w * len(rows) / sum(weight) for w in weight]
            found = method.loss(batch, model, state)
            torch.testing.assert_close(found, (torch.tensor(weight, dtype=torch.float64) * loss_B).mean())
            row_loss |= dict(zip(rows.tolist(), loss_B.tolist(), strict=True))
            steps += 1
            if steps % method.refresh_every == 0:
                refresh(len(row_loss) == 60)
            assert state.difficulty_L.tolist() == pytest.approx(difficulty)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
        method.end_epoch(data, model, state)
        refresh(True)
        assert state.difficulty_L.tolist() == pytest.approx(difficulty)


# --- limits ---


def test_one_cluster_a_class_and_equal_losses_balance_the_classes() -> None:
    data = tiny.split()
    method, _, state = begin(data, clusters=1)
    assert torch.equal(state.cluster_N, data.y)
    tell_all = torch.full((60,), 0.7)
    state.record(torch.arange(60), state.cluster_N, tell_all)
    state.refresh(torch.ones(()))
    weight_N = method.weights(state.cluster_N, state)
    total_C = torch.zeros(2).index_add(0, data.y, weight_N)
    torch.testing.assert_close(total_C, torch.full((2,), 30.0))


def test_clusters_of_one_size_are_plain_training_in_the_first_epoch() -> None:
    data, model = tiny.split(), tiny.network()
    y = torch.arange(60) % 2
    data = Split.of(data.inputs.x, y)
    method, _, state = begin(data, clusters=1)
    batch = tiny.whole(data)
    torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))


def test_difficulties_do_not_lose_digits_over_a_training() -> None:
    _, state = example()
    rng = torch.Generator().manual_seed(0)
    for _ in range(300):
        loss_N = torch.rand(100, generator=rng, dtype=torch.float64)
        state.record(torch.arange(100), state.cluster_N, loss_N * 1e3)
    tell(state, 1e-6, 2e-6, 3e-6)
    BPA().end_epoch(tiny.split(), tiny.network(), state)
    torch.testing.assert_close(state.sum_L, torch.tensor([60e-6, 60e-6, 30e-6], dtype=torch.float64))


def test_losses_of_zero_leave_the_weights_by_size() -> None:
    method, state = example()
    tell(state, 0.0, 0.0, 0.0)
    state.refresh(torch.ones(()))
    tiny.assert_values(method.weights(BATCH, state), 0.4, 0.4, 0.8, 2.4)


def test_weights_have_mean_one_and_are_constant_for_the_gradient() -> None:
    data = tiny.split(dtype=torch.float64)
    method, model, state = begin(data, exp_step=0.05)
    method.loss(tiny.whole(data), model, state)
    method.end_epoch(data, model, state)
    weight_N = method.weights(state.cluster_N, state)
    tiny.assert_values(weight_N.mean(), 1.0)
    assert not weight_N.requires_grad
    found = torch.autograd.grad(method.loss(tiny.whole(data), model, state), list(model.parameters()))
    loss_N = F.cross_entropy(model(data.inputs.x), data.y, reduction="none")
    for mine, theirs in zip(
        found, torch.autograd.grad((weight_N * loss_N).mean(), list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


# --- stages ---


def test_clusters_are_of_the_plain_model_and_the_training_begins_anew() -> None:
    first, second = BPA(erm_epochs=2).stages()
    assert (first.method, first.epochs, second.restart) == (ERM(), 2, True)
    assert len(BPA(erm_epochs=0).stages()) == 1


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("clusters", 0, "at least 1"),
        ("momentum", 0.0, r"in \(0, 1\]"),
        ("exp_step", -0.1, "at least 0"),
        ("refresh_every", 0, "at least 1"),
        ("erm_epochs", -1, "at least 0"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: float, wanted: str) -> None:
    with pytest.raises(BadInput, match=f"{option} of BPA must be {wanted}, got {value}"):
        BPA(**{option: value})


def test_no_tensor_of_the_state_is_left_out_of_snapshots() -> None:
    _, _, state = begin(tiny.split())
    assert {name for name, _ in state.named_buffers()} == set(state.state_dict())
