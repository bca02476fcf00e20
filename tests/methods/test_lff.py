from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.lff import LfF
from evenhand.settings import Settings
from evenhand.train import fit


def begin(data: Split, **options: Any) -> tuple[LfF, Any, Any]:
    method, model = LfF(**options), tiny.network(data.n_classes, dtype=data.inputs.x.dtype)
    return method, model, method.start(data, model)


def of_rows(*rows: int, y: int = 0) -> Batch:
    return Batch(torch.empty(0), torch.full((len(rows),), y), None, torch.tensor(rows))


def losses(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- values computed by hand ---


@pytest.mark.parametrize(("gce", "value", "slope"), [("paper", 0.549183, 0.615572), ("published", 0.298677, 0.430901)])
def test_generalised_cross_entropy_of_the_example(gce: Any, value: float, slope: float) -> None:
    loss_B = losses(-math.log(0.5)).requires_grad_()
    found = LfF(gce=gce).confident(loss_B)
    found.sum().backward()
    tiny.assert_values(found.detach(), value)
    tiny.assert_values(loss_B.grad, slope)  # type: ignore[arg-type]


@pytest.mark.parametrize(("normalise", "weight"), [(True, 0.459459), (False, 0.298246)])
def test_weights_of_the_example(normalise: bool, weight: float) -> None:
    data = Split.of(torch.zeros(3, 2, dtype=torch.float64), torch.tensor([0, 0, 1]))
    method, _, state = begin(data, normalise=normalise)
    method.weights(of_rows(1), losses(1.0), losses(0.5), state)  # the largest of the class among the biased is 1
    method.weights(of_rows(0), losses(1.0), losses(2.0), state)
    method.weights(of_rows(2, y=1), losses(9.0), losses(9.0), state)  # of another class
    found = method.weights(of_rows(0), losses(0.5), losses(2.0), state)
    tiny.assert_values(state.biased_N[:2], 0.85, 1.0)
    tiny.assert_values(state.debiased_N[:2], 2.0, 0.5)
    tiny.assert_values(found, weight)


# --- a slow reference ---


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("gce", ["paper", "published"])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_agrees_with_loops_over_rows(normalise: bool, gce: Any, power: float) -> None:
    data = tiny.split(classes=3, dtype=torch.float64)
    method, model, state = begin(data, normalise=normalise, gce=gce, power=power, q=0.4, ema=0.25)
    banks: list[dict[int, float]] = [{}, {}]
    y = data.y.tolist()
    for rows in [*torch.arange(60).split(16), *torch.arange(59, -1, -1).split(25)]:
        batch = data.batch(rows)
        ce = [F.cross_entropy(net(batch.x), batch.y, reduction="none") for net in (state.biased, model)]
        for bank, loss_B in zip(banks, ce, strict=True):
            for row, loss in zip(rows.tolist(), loss_B.tolist(), strict=True):
                bank[row] = 0.75 * bank[row] + 0.25 * loss if row in bank else loss
        wanted = torch.zeros((), dtype=torch.float64)
        for k, row in enumerate(rows.tolist()):
            b, d = (
                bank[row] / (max(v for r, v in bank.items() if y[r] == y[row]) if normalise else 1) for bank in banks
            )
            p = (-ce[0][k]).exp()
            wanted = wanted + (b / (b + d + 1e-8)) ** power * ce[1][k]
            wanted = wanted + ((1 - p**0.4) / 0.4 if gce == "paper" else 0.4 * p.detach() ** 0.4 * ce[0][k])
        wanted = wanted / len(rows)
        found = method.loss(batch, model, state)
        torch.testing.assert_close(found, wanted)
        parameters = [*model.parameters(), *state.parameters()]
        for mine, theirs in zip(
            torch.autograd.grad(found, parameters), torch.autograd.grad(wanted, parameters), strict=True
        ):
            torch.testing.assert_close(mine, theirs)


# --- limits ---


def test_power_zero_trains_the_model_plainly() -> None:
    data = tiny.split()
    method, model, state = begin(data, power=0.0)
    batch = tiny.whole(data)
    parameters = list(model.parameters())
    found = torch.autograd.grad(method.loss(batch, model, state), parameters)
    wanted = torch.autograd.grad(ERM().loss(batch, model, state), parameters)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_generalised_cross_entropy_goes_to_cross_entropy() -> None:
    loss_B = losses(0.0, 0.3, 5.0)
    torch.testing.assert_close(LfF(q=1e-9).confident(loss_B), loss_B)


def test_a_class_without_any_loss_has_weight_zero() -> None:
    method, _, state = begin(tiny.split(dtype=torch.float64))
    tiny.assert_values(method.weights(of_rows(0, 1), losses(0, 0), losses(0, 0), state), 0, 0)


def test_rows_that_conflict_with_the_shortcut_gain_weight() -> None:
    """The first input is the shortcut, right for 19 rows of 20; the second is right always and ten times as faint."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    sign, aligned = 2.0 * y - 1, torch.arange(400) % 40 > 1
    x = torch.stack([torch.where(aligned, sign, -sign) * 2, sign * 0.2], 1) + 0.1 * torch.randn(400, 2, generator=rng)
    data = Split.of(x, y)
    torch.manual_seed(0)
    from evenhand.model import Model

    model: Any = Model.linear(nn.Identity(), 2, 2)
    method = LfF()
    state: Any = method.start(data, model)
    optimizer = torch.optim.Adam([*model.parameters(), *state.parameters()], lr=0.01)
    for _ in range(60):
        loss = method.loss(tiny.whole(data), model, state)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ce = [F.cross_entropy(net(x), y, reduction="none").detach() for net in (state.biased, model)]
    weight_N = method.weights(tiny.whole(data), *ce, deepcopy(state))
    assert weight_N[~aligned].min() > 2 * weight_N[aligned].median()


# --- the biased network ---


@pytest.mark.parametrize("start", ["copy", "new"])
def test_it_begins_with_the_encoder_or_anew(start: Any) -> None:
    _, model, state = begin(tiny.split(), biased_start=start)
    same = torch.equal(state.biased.encoder[0].weight, model.encoder[0].weight)
    assert same == (start == "copy")
    assert not torch.equal(state.biased.classifier.weight, model.classifier.weight)
    assert state.biased.encoder[0].weight is not model.encoder[0].weight


def test_it_is_trained_by_fit_and_not_what_is_returned() -> None:
    train, val = (tiny.split(seed=seed).without_groups() for seed in (0, 1))
    states: list[Any] = []

    class Watched(LfF):
        def start(self, *arguments: Any) -> Any:
            states.append(super().start(*arguments))
            states.append(deepcopy(states[0]))
            return states[0]

    fitted = fit(tiny.network(), Watched(), train, val, Settings(epochs=2, batch_size=16, select="worst_class"))
    trained, before = states
    assert not torch.equal(trained.biased.encoder[0].weight, before.biased.encoder[0].weight)
    assert bool((trained.biased_N >= 0).all())
    assert set(fitted.model.state_dict()) == set(tiny.network().state_dict())


def test_with_a_frozen_encoder_two_classifiers_are_trained_on_its_features() -> None:
    data = tiny.split()
    method, model, state = begin(data, freeze_encoder=True)
    assert isinstance(state.biased, nn.Linear)
    assert method.stages()[0].trains == "classifier"
    model.encoder.append(nn.Dropout(0.9))
    method.loss(tiny.whole(data), model, state).backward()
    assert model.encoder[0].weight.grad is None
    features = model.encoder[:2](data.inputs.x)
    torch.testing.assert_close(state.biased_N, F.cross_entropy(state.biased(features), data.y, reduction="none"))


# --- errors ---


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [("q", 0.0, r"in \(0, 1\]"), ("ema", 1.5, r"in \(0, 1\]"), ("power", -1.0, "at least 0")],
)
def test_options_out_of_range_are_refused(option: str, value: float, wanted: str) -> None:
    with pytest.raises(BadInput, match=f"{option} of LfF must be {wanted}, got {value}"):
        LfF(**{option: value})
