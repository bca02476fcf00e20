from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._last_layer import FirstPart, two_parts, worst_accuracies
from evenhand.methods.afr import AFR, weights_of
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

LOGITS = torch.tensor([[2, 0], [0, 0], [1, 0], [0, 3]], dtype=torch.float64)
Y = torch.tensor([0, 0, 0, 1])
ONE: dict[str, Any] = {"gamma": (4.0,), "penalty": (0.1,)}


def plain(features: int = tiny.FEATURES, *, bias: bool = True) -> Model:
    torch.manual_seed(0)
    return Model.linear(nn.Identity(), features, 2, bias=bias).double()


def retrained(data: Split, val: Split, *, bias: bool = True, **options: Any) -> tuple[AFR, Model, Any]:
    method, model = AFR(**{**ONE, "steps": 20, **options}), plain(bias=bias)
    torch.manual_seed(0)
    return method, model, method.start(data, model, val)


def splits(n_rows: int = 100) -> tuple[Split, Split]:
    return tuple(tiny.split(n_rows, seed=seed, dtype=torch.float64) for seed in (0, 1))  # type: ignore[return-value]


# --- the weights ---


def test_weights_of_the_example() -> None:
    p = LOGITS.softmax(1).gather(1, Y[:, None]).squeeze(1)
    tiny.assert_values(p, 0.880797, 0.5, 0.731059, 0.952574)
    weight = weights_of(p, Y, 4.0, 2)
    tiny.assert_values(weight, 0.103538, 0.474909, 0.188460, 0.233093)
    loss = torch.dot(weight, nn.functional.cross_entropy(LOGITS, Y, reduction="none"))
    assert loss.item() == pytest.approx(0.412686, abs=1e-6)
    tiny.assert_values(weights_of(p, Y, 4.0, 2, rebalance=False), 0.122587, 0.562285, 0.223135, 0.091993)


def test_weights_sum_to_one_and_fall_with_the_probability() -> None:
    p, y = torch.rand(50, dtype=torch.float64), torch.arange(50) % 3
    weight = weights_of(p, y, 6.0, 3)
    assert weight.sum().item() == pytest.approx(1)
    for c in range(3):
        own = y == c
        assert bool((weight[own][p[own].argsort()].diff() < 0).all())
    tiny.assert_values(weights_of(p, y, 0.0, 3)[:3], 1 / 51, 1 / 51, 1 / 48)


# --- the two parts ---


def test_parts_share_out_the_rows_once_and_for_all() -> None:
    first, second = two_parts(103, 0.8, 21)
    assert len(first) == 82
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(103))
    assert torch.equal(first, two_parts(103, 0.8, 21)[0])
    assert not torch.equal(first, two_parts(103, 0.8, 22)[0])
    assert [len(part) for part in two_parts(2, 0.99, 0)] == [1, 1]


def test_stages_see_the_one_and_the_other_part() -> None:
    data, val = splits()
    method, _, state = retrained(data, val)
    first, own = method.stages()
    plainly = first.method
    assert isinstance(plainly, FirstPart)
    rng = torch.Generator().manual_seed(0)
    seen = torch.cat(list(plainly.batches(data, plainly.start(data, plain()), 16, rng))).sort().values
    fresh = torch.cat(list(method.batches(data, state, 16, rng))).sort().values
    assert torch.equal(torch.cat([seen, fresh]).sort().values, torch.arange(100))
    assert len(fresh) == 20
    assert torch.equal(torch.nonzero(state.weight_N).flatten(), fresh)
    assert (own.epochs, own.trains) == (0, "classifier")


# --- a slow reference ---


def reference(data: Split, val: Split, *, steps: int, clip: float | None, every: int) -> tuple[Tensor, Tensor]:
    """Gradient descent by autograd, one gamma and penalty: the best last layer."""
    model = plain()
    first = [p.detach().clone() for p in model.classifier.parameters()]
    rows = two_parts(len(data), 0.8, 21)[1]
    x, y = data.inputs.x[rows], data.y[rows]
    p = model(x).softmax(1)[torch.arange(len(y)), y].detach()
    weight = torch.exp(-4 * p) / torch.bincount(y)[y]
    weight = weight / weight.sum()
    best, layer = -1.0, first
    for step in range(1, steps + 1):
        model.zero_grad()
        loss = (weight * nn.functional.cross_entropy(model(x), y, reduction="none")).sum()
        loss = loss + 0.1 * sum((p - f).square().sum() for p, f in zip(model.parameters(), first, strict=True))
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.5 * parameter.grad)
            right = model(val.inputs.x).argmax(1) == val.y
        score = min(right[val.group == g].double().mean().item() for g in range(4))
        if (step % every == 0 or step == steps) and score > best:
            best, layer = score, [p.detach().clone() for p in model.parameters()]
    return layer[0], layer[1]


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("every", [1, 7])
def test_agrees_with_descent_by_autograd(clip: float | None, every: int) -> None:
    data, val = splits()
    _, model, _ = retrained(data, val, lr=0.5, clip=clip, check_every=every)
    weight, bias = reference(data, val, steps=20, clip=clip, every=every)
    torch.testing.assert_close(model.classifier.weight, weight, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(model.classifier.bias, bias, rtol=1e-5, atol=1e-7)


def test_of_all_values_the_best_on_validation_is_taken() -> None:
    data, val = splits(300)
    grid = [(gamma, penalty) for gamma in (0.0, 4.0, 20.0) for penalty in (0.0, 1.0)]
    alone = [retrained(data, val, lr=0.5, gamma=(gamma,), penalty=(penalty,)) for gamma, penalty in grid]
    scores = [state.score.item() for _, _, state in alone]
    _, model, state = retrained(data, val, lr=0.5, gamma=(0.0, 4.0, 20.0), penalty=(0.0, 1.0))
    best = scores.index(max(scores))
    assert state.score.item() == pytest.approx(max(scores))
    assert (state.gamma.item(), state.penalty.item()) == pytest.approx(grid[best])
    torch.testing.assert_close(model.classifier.weight, alone[best][1].classifier.weight)
    right = model(val.inputs.x).argmax(1) == val.y
    assert max(scores) == pytest.approx(min(right[val.group == g].double().mean().item() for g in range(4)))


# --- the objective, limits ---


def test_loss_is_the_objective_over_the_second_part() -> None:
    data, val = splits()
    method, model, state = retrained(data, val)
    rows = two_parts(100, 0.8, 21)[1]
    each = nn.functional.cross_entropy(model(data.inputs.x[rows]), data.y[rows], reduction="none")
    before = plain()
    p = before(data.inputs.x[rows]).softmax(1).gather(1, data.y[rows, None]).squeeze(1)
    distance = sum(
        (own - first).square().sum() for own, first in zip(model.parameters(), before.parameters(), strict=True)
    )
    wanted = torch.dot(weights_of(p, data.y[rows], 4.0, 2), each) + 0.1 * distance
    torch.testing.assert_close(method.loss(data.batch(rows), model, state), wanted, rtol=1e-6, atol=0)


def test_a_huge_penalty_keeps_the_last_layer() -> None:
    data, val = splits()
    _, model, _ = retrained(data, val, penalty=(1e3,), lr=1e-4)
    torch.testing.assert_close(model.classifier.weight, plain().classifier.weight, atol=1e-3, rtol=0)


def test_a_random_residual_begins_elsewhere() -> None:
    data, val = splits()
    _, zero, _ = retrained(data, val, lr=1e-12)
    _, random, _ = retrained(data, val, lr=1e-12, residual="random")
    torch.testing.assert_close(zero.classifier.weight, plain().classifier.weight)
    assert (random.classifier.weight - zero.classifier.weight).abs().max() > 0.05


def test_a_last_layer_without_bias_stays_so() -> None:
    data, val = splits()
    method, model, state = retrained(data, val, bias=False, lr=0.5)
    assert model.classifier.bias is None
    assert not torch.equal(model.classifier.weight, plain(bias=False).classifier.weight)
    assert bool(torch.isfinite(method.loss(tiny.whole(data), model, state)))


def test_worst_accuracy_leaves_out_groups_without_rows() -> None:
    guess = torch.tensor([[0, 0], [0, 1], [1, 1]])
    y, group = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 3])
    assert worst_accuracies(guess, y, group, 4).tolist() == [1.0, 0.5]


def test_a_missing_class_is_warned_of() -> None:
    y = torch.zeros(20, dtype=torch.int64)
    y[two_parts(20, 0.8, 21)[0][:3]] = 1
    data = Split.of(torch.randn(20, tiny.FEATURES, dtype=torch.float64), y)
    with pytest.warns(UserWarning, match=r"stage 2 has no rows of the classes \[1\]"):
        retrained(data, splits()[1])


def test_fit_trains_plainly_and_then_the_last_layer() -> None:
    train, val = tiny.split(200), tiny.split(200, seed=1)
    settings = Settings(epochs=2, batch_size=50, device="cpu")
    fitted = fit(tiny.network(), AFR(steps=20), train, val, settings)
    assert [(record["stage"], record["epoch"]) for record in fitted.history] == [(0, 0), (0, 1), (1, 0)]
    assert sum(fitted.history[0]["train"]["count"]) == 160


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": ()}, r"gamma of AFR must be values of at least 0, got \(\)"),
        ({"penalty": (-1.0,)}, "penalty of AFR must be values of at least 0"),
        ({"steps": 0}, "steps of AFR must be at least 1, got 0"),
        ({"check_every": 0}, "check_every of AFR must be at least 1, got 0"),
        ({"lr": 0.0}, "lr of AFR must be above 0, got 0.0"),
        ({"clip": 0.0}, "clip of AFR must be above 0, got 0.0"),
        ({"share": 1.0}, r"share of AFR must be in \(0, 1\), got 1.0"),
        ({"erm_epochs": 0}, "erm_epochs of AFR must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        AFR(**options)


def test_what_is_missing_is_named() -> None:
    data, val = splits()
    with pytest.raises(BadInput, match="AFR needs a validation split"):
        AFR().start(data, plain(), None)
    with pytest.raises(BadInput, match="AFR needs at least two training rows, one for each stage, got 1"):
        AFR().start(Split.of(data.inputs.x[:1], data.y[:1], n_classes=2), plain(), val)
