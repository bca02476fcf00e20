from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.minimaxfair import MinimaxFair


def split_with_counts(*counts: int) -> Split:
    """Class 0 only; as many attribute values as counts."""
    attribute = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    x = torch.zeros(len(attribute), 2, dtype=torch.float64)
    return Split.of(x, torch.zeros_like(attribute), attribute, n_classes=2)


def begin(data: Split, **options: Any) -> tuple[MinimaxFair, Any]:
    method = MinimaxFair(**options)
    return method, method.start(data, tiny.network(data.n_classes, dtype=data.inputs.x.dtype))


def errors(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- values computed by hand ---


def test_weights_of_two_rounds() -> None:
    method, state = begin(split_with_counts(80, 20), groups="attribute")
    tiny.assert_values(state.weight_L, 0.8, 0.2)
    method.play(state, errors(0.1, 0.4))
    tiny.assert_values(state.weight_L, 0.747683, 0.252317)
    method.play(state, errors(0.1, 0.4))
    tiny.assert_values(state.weight_L, 0.705611, 0.294389)
    tiny.assert_values(state.upweight_L / 100, 0.00882, 0.014719)


def test_weights_of_the_relaxed_game() -> None:
    method, state = begin(split_with_counts(80, 20), groups="attribute", max_error=0.2)
    method.play(state, errors(0.1, 0.4))
    tiny.assert_values(state.excess_L, 0, 0.2)
    tiny.assert_values(state.weight_L, 0.8, 0.4)


# --- a slow reference ---


@pytest.mark.parametrize("groups", ["group", "attribute"])
@pytest.mark.parametrize("error", ["zero_one", "log_loss"])
@pytest.mark.parametrize("max_error", [None, 0.3])
def test_agrees_with_loops_over_rows_and_groups(groups: Any, error: Any, max_error: float | None) -> None:
    data, model = tiny.split(classes=3, dtype=torch.float64), tiny.network(3, dtype=torch.float64)
    method = MinimaxFair(groups=groups, error=error, max_error=max_error, step_size=0.7, step_decay=0.3)
    state = method.start(data, model)
    label = (data.group if groups == "group" else data.attribute).tolist()
    count = [label.count(k) for k in range(max(label) + 1)]
    share = weight = [n / len(label) for n in count]
    excess = [0.0] * len(count)
    for t in range(1, 4):
        method.end_epoch(data, model, state)
        prob = torch.softmax(model(data.inputs.x), 1).detach()
        rows = [
            -math.log(prob[i, data.y[i]]) if error == "log_loss" else float(prob[i].argmax() != data.y[i])
            for i in range(60)
        ]
        mean = [sum(e for e, k in zip(rows, label, strict=True) if k == g) / count[g] for g in range(len(count))]
        eta = 0.7 * t**-0.3
        if max_error is None:
            weight = [w * math.exp(eta * e) for w, e in zip(weight, mean, strict=True)]
            weight = [w / sum(weight) for w in weight]
        else:
            excess = [max(0.0, x + eta * (e - max_error)) for x, e in zip(excess, mean, strict=True)]
            weight = [p + x for p, x in zip(share, excess, strict=True)]
        assert state.weight_L.tolist() == pytest.approx(weight)
        wanted = sum(60 * weight[k] / count[k] * -math.log(prob[i, data.y[i]]) for i, k in enumerate(label)) / 60
        assert method.loss(tiny.whole(data), model, state).item() == pytest.approx(wanted)


# --- limits ---


def test_the_first_epoch_is_plain_training() -> None:
    data, model = tiny.split(), tiny.network()
    method, state = begin(data)
    for rows in torch.arange(60).split(16):
        batch = data.batch(rows)
        torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))


def test_step_size_zero_is_plain_training() -> None:
    data, model = tiny.split(), tiny.network()
    method, state = begin(data, step_size=0.0)
    method.end_epoch(data, model, state)
    batch = tiny.whole(data)
    torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))


def test_a_lenient_bound_is_plain_training() -> None:
    data, model = tiny.split(), tiny.network()
    method, state = begin(data, max_error=1.0)
    method.end_epoch(data, model, state)
    batch = tiny.whole(data)
    torch.testing.assert_close(method.loss(batch, model, state), ERM().loss(batch, model, state))


def test_weights_sum_to_one_and_equal_errors_leave_them_alone() -> None:
    method, state = begin(split_with_counts(50, 30, 20), groups="attribute", step_size=50.0)
    method.play(state, errors(0.3, 0.3, 0.3))
    tiny.assert_values(state.weight_L, 0.5, 0.3, 0.2)
    for _ in range(100):
        method.play(state, errors(0.0, 0.1, 1.0))
    tiny.assert_values(state.weight_L, 0, 0, 1)


def test_huge_errors_do_not_overflow() -> None:
    method, state = begin(split_with_counts(50, 50), groups="attribute", error="log_loss")
    method.play(state, errors(1e30, 1.0))
    tiny.assert_values(state.weight_L, 1, 0)


def test_weights_persist_within_an_epoch() -> None:
    data, model = tiny.split(), tiny.network()
    method, state = begin(data)
    method.end_epoch(data, model, state)
    before = state.weight_L.clone()
    method.loss(tiny.whole(data), model, state)
    assert torch.equal(state.weight_L, before)


def test_errors_are_taken_in_eval_mode() -> None:
    data, model = tiny.split(), tiny.network()
    model.encoder.append(torch.nn.Dropout(0.9))
    weights = []
    for seed in range(2):
        method, state = begin(data)
        torch.manual_seed(seed)
        method.end_epoch(data, model, state)
        weights.append(state.weight_L)
    assert torch.equal(*weights)
    assert model.training


# --- errors ---


@pytest.mark.parametrize("option", ["step_size", "step_decay", "max_error"])
def test_options_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(BadInput, match=f"{option} of MinimaxFair must be at least 0, got -1"):
        MinimaxFair(**{option: -1.0})


def test_no_group_is_forgotten_for_good() -> None:
    """However long a group has no error, its weight comes back when it has."""
    data = tiny.split()
    method = MinimaxFair(step_size=1e3, error="log_loss")
    state: Any = method.start(data, tiny.network())
    idle = torch.tensor([1.0] + [0.0] * (len(state.weight_L) - 1))
    method.play(state, idle)
    for _ in range(60):
        method.play(state, 1 - idle)
    assert bool((state.weight_L[1:] > 0.1).all())
