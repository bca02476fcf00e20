from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.groupdro import GroupDRO, tail_weights
from evenhand.model import Model


def split_with_counts(counts: tuple[int, ...]) -> Split:
    """A split with these group counts; two attribute values and as many classes as that takes."""
    group = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Split.of(torch.zeros(len(group), 2), group // 2, group % 2, n_classes=2, attribute_sizes=[2])


def batch_with_losses(losses: dict[int, float]) -> Batch:
    """One row of each group named, with this loss."""
    group = torch.tensor(list(losses))
    logits = tiny.logits_with_loss(list(losses.values()), (group // 2).tolist())
    return Batch(logits, group // 2, group, torch.arange(len(group)))


def begin(counts: tuple[int, ...] = (100, 25, 4, 1), **options: Any) -> tuple[GroupDRO, Model, State]:
    method, model = GroupDRO(**options), tiny.echo()
    return method, model, method.start(split_with_counts(counts), model)


# --- values computed by hand ---


def test_weights_and_loss_of_one_step() -> None:
    method, model, state = begin(step_size=1.0)
    loss = method.loss(batch_with_losses({0: 1.0, 1: 2.0, 3: 0.5}), model, state)
    tiny.assert_values(state.weight_G, 0.213097, 0.579259, 0.078394, 0.129250)
    tiny.assert_values(loss, 1.436239)


def test_loss_of_one_small_step() -> None:
    method, model, state = begin(step_size=0.01)
    tiny.assert_values(method.loss(batch_with_losses({0: 1.0, 1: 2.0, 3: 0.5}), model, state), 0.880477)


def test_weights_of_two_steps_with_a_group_missing_in_each() -> None:
    method, model, state = begin((5, 5, 5, 0), step_size=0.1)  # the fourth group is in no row: three remain
    method.loss(batch_with_losses({0: 1.0, 2: 2.0}), model, state)
    tiny.assert_values(state.weight_G, 0.332225, 0.300610, 0.367165, 0)
    method.loss(batch_with_losses({1: 3.0, 2: 1.0}), model, state)
    tiny.assert_values(state.weight_G, 0.290461, 0.354770, 0.354770, 0)


def test_adjustment_counts_for_a_missing_group_too() -> None:
    method, model, state = begin(adjustment=1.0)
    loss = method.loss(batch_with_losses({0: 1.0, 1: 2.0, 3: 0.5}), model, state)
    tiny.assert_values(state.weight_G, 0.249433, 0.252192, 0.247941, 0.250433)
    tiny.assert_values(loss, 1.328820)


def test_tail_takes_the_worst_groups_up_to_alpha() -> None:
    share = torch.tensor([0.5, 0.3, 0.2])
    tiny.assert_values(tail_weights(torch.tensor([1.0, 3.0, 2.0]), share, 0.4), 0, 0.75, 0.25)
    tiny.assert_values(tail_weights(torch.tensor([1.0, 3.0, 2.0]), share, 1.0), 0.5, 0.3, 0.2)
    tiny.assert_values(tail_weights(torch.tensor([1.0, 3.0, 2.0]), share, 0.3), 0, 1, 0)
    tiny.assert_values(tail_weights(torch.tensor([1.0, 3.0, 2.0]), share, 1e-6), 0, 1, 0)


# --- a slow reference ---


def reference(batches: list[Batch], model: Model, counts: list[int], *, step_size: float, C: float) -> list[float]:
    present = [count > 0 for count in counts]
    weight = [p / sum(present) for p in present]
    losses = []
    for batch in batches:
        group_loss = []
        for group, count in enumerate(counts):
            own = [
                -math.log(torch.softmax(model(batch.x[i : i + 1])[0], 0)[batch.y[i]].item())
                for i in range(len(batch.y))
                if batch.group[i] == group
            ]
            mean = sum(own) / len(own) if own else 0.0
            group_loss.append(mean + (C / math.sqrt(count) if count else 0.0))
        weight = [w * math.exp(step_size * loss) for w, loss in zip(weight, group_loss, strict=True)]
        weight = [w / sum(weight) for w in weight]
        losses.append(sum(w * loss for w, loss in zip(weight, group_loss, strict=True)))
    return losses


@pytest.mark.parametrize("adjustment", [0.0, 2.0])
def test_agrees_with_a_loop_over_rows_and_groups(adjustment: float) -> None:
    data, model = tiny.split(dtype=torch.float64), tiny.network(dtype=torch.float64)
    method = GroupDRO(step_size=0.3, adjustment=adjustment)
    state = method.start(data, model)
    rng = Generator().manual_seed(0)
    batches = [data.batch(torch.randint(60, (5,), generator=rng)) for _ in range(10)]
    losses = [method.loss(batch, model, state).item() for batch in batches]
    wanted = reference(batches, model, data.count_G.tolist(), step_size=0.3, C=adjustment)
    assert losses == pytest.approx(wanted, rel=1e-9)


def greedy(reference_loss: list[float], share: list[float], alpha: float) -> list[float]:
    """The published procedure: whole groups while they fit, the next one takes the rest."""
    order = sorted(range(len(share)), key=lambda g: -reference_loss[g])
    weight, total = [0.0] * len(share), 0.0
    for g in order:
        total += share[g]
        if total > alpha:
            weight[g] = 1 - sum(weight)
            break
        weight[g] = share[g] / alpha
    return weight


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 0.99])
def test_tail_agrees_with_the_greedy_procedure(seed: int, alpha: float) -> None:
    rng = Generator().manual_seed(seed)
    share = torch.rand(6, generator=rng, dtype=torch.float64)
    share, losses = share / share.sum(), torch.rand(6, generator=rng, dtype=torch.float64)
    wanted = greedy(losses.tolist(), share.tolist(), alpha)
    assert tail_weights(losses, share, alpha).tolist() == pytest.approx(wanted, abs=1e-12)


def test_cvar_follows_running_means_that_absent_groups_keep() -> None:
    method, model, state = begin((50, 30, 15, 5), objective="cvar", alpha=0.4, ema=0.1)
    method.loss(batch_with_losses({0: 1.0, 1: 3.0}), model, state)
    tiny.assert_values(state.average_G, 1, 3, 0, 0)  # the first loss counts in full
    method.loss(batch_with_losses({0: 2.0, 2: 5.0}), model, state)
    tiny.assert_values(state.average_G, 0.9 * 1 + 0.1 * 2, 3, 5, 0)
    loss = method.loss(batch_with_losses({0: 1.0, 1: 1.0, 2: 1.5}), model, state)
    # Running means 1.08, 2.8, 4.65, 0: group 2 fills .15 of .4, group 1 the other .25.
    tiny.assert_values(loss, 0.375 * 1.5 + 0.625 * 1.0)


def test_cvar_adjustment_moves_the_choice_but_not_the_loss() -> None:
    method, model, state = begin((50, 30, 15, 5), objective="cvar", alpha=0.05, adjustment=10.0)
    tiny.assert_values(method.loss(batch_with_losses({0: 1.0, 1: 1.0, 2: 1.0, 3: 0.5}), model, state), 0.5)


# --- limits ---


def test_step_size_zero_keeps_all_groups_equal() -> None:
    method, model, state = begin(step_size=0.0)
    loss = method.loss(batch_with_losses({0: 1.0, 1: 2.0, 2: 3.0, 3: 6.0}), model, state)
    tiny.assert_values(state.weight_G, 0.25, 0.25, 0.25, 0.25)
    tiny.assert_values(loss, 3.0)


def test_equal_losses_leave_weights_alone_and_they_sum_to_one() -> None:
    method, model, state = begin(step_size=5.0)
    for _ in range(3):
        method.loss(batch_with_losses(dict.fromkeys(range(4), 2.0)), model, state)
        tiny.assert_values(state.weight_G, 0.25, 0.25, 0.25, 0.25)


def test_a_huge_step_is_the_loss_of_the_worst_group() -> None:
    method, model, state = begin(step_size=1e6)
    for _ in range(3):
        tiny.assert_values(method.loss(batch_with_losses({0: 1.0, 1: 2.0, 3: 0.5}), model, state), 2.0)
        tiny.assert_values(state.weight_G, 0, 1, 0, 0)


@pytest.mark.parametrize("options", [{"alpha": 1.0}, {"min_variance": 1.0}])
def test_cvar_without_a_tail_is_plain_training(options: dict[str, float]) -> None:
    data, model = tiny.split(), tiny.network()
    method = GroupDRO(objective="cvar", **options)
    loss = method.loss(tiny.whole(data), model, method.start(data, model))
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(model(data.inputs.x), data.y))


def test_adjustment_is_all_or_nothing() -> None:
    data, model = tiny.split(), tiny.network()

    def loss(adjustment: float | tuple[float, ...]) -> Tensor:
        method = GroupDRO(adjustment=adjustment)
        return method.loss(tiny.whole(data), model, method.start(data, model))

    assert torch.equal(loss((1.0, 2.0, 0.0, 4.0)), loss(0.0))
    assert torch.equal(loss((2.0, 2.0, 2.0, 2.0)), loss(2.0))
    assert not torch.equal(loss((1.0, 2.0, 3.0, 4.0)), loss(0.0))


def test_weights_are_remembered_over_epochs() -> None:
    method, model, state = begin(step_size=1.0)
    method.loss(batch_with_losses({0: 1.0, 1: 2.0, 3: 0.5}), model, state)
    before = state.weight_G
    method.end_epoch(split_with_counts((100, 25, 4, 1)), model, state)
    torch.testing.assert_close(state.weight_G, before)


def test_gradient_takes_weights_as_constants() -> None:
    method, model, state = begin(step_size=1.0)
    batch = batch_with_losses({0: 1.0, 1: 2.0, 3: 0.5})
    x = batch.x.clone().requires_grad_()
    method.loss(batch._replace(x=x), model, state).backward()
    row_gradient = torch.softmax(batch.x, 1) - torch.nn.functional.one_hot(batch.y, 2)
    torch.testing.assert_close(x.grad, state.weight_G[batch.group][:, None] * row_gradient)


def test_balanced_batches_show_groups_equally_often() -> None:
    data, method = tiny.split(200), GroupDRO(balanced_batches=True)
    state = method.start(data, tiny.network())
    rows = torch.cat([torch.cat(list(method.batches(data, state, 32, Generator().manual_seed(s)))) for s in range(100)])
    share = torch.bincount(data.group[rows]) / len(rows)
    torch.testing.assert_close(share, torch.full((4,), 0.25), atol=0.01, rtol=0)


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": -0.1}, "step_size of GroupDRO must be at least 0, got -0.1"),
        ({"step_size": math.nan}, "step_size of GroupDRO must be at least 0, got nan"),
        ({"adjustment": -1.0}, "adjustment of GroupDRO must be at least 0, got -1.0"),
        ({"adjustment": ()}, "adjustment of GroupDRO must be at least 0"),
        ({"alpha": 0.0}, r"alpha of GroupDRO must be in \(0, 1\], got 0.0"),
        ({"alpha": 1.5}, r"alpha of GroupDRO must be in \(0, 1\], got 1.5"),
        ({"ema": 2.0}, r"ema of GroupDRO must be in \[0, 1\], got 2.0"),
        ({"min_variance": -1.0}, r"min_variance of GroupDRO must be in \[0, 1\], got -1.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        GroupDRO(**options)


def test_one_adjustment_for_each_group_is_wanted() -> None:
    with pytest.raises(BadInput, match="adjustment of GroupDRO must be one value or 4, one a group, got 3"):
        begin(adjustment=(1.0, 2.0, 3.0))


def test_a_batch_without_groups_is_refused() -> None:
    method, model, state = begin()
    with pytest.raises(BadInput, match="GroupDRO needs group labels in every batch"):
        method.loss(batch_with_losses({0: 1.0})._replace(group=None), model, state)
