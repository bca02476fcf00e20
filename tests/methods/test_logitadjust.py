from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.logitadjust import LogitAdjust
from evenhand.model import Model


def example(counts: tuple[int, ...] = (90, 9, 1)) -> Split:
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Split.of(torch.zeros(len(y), len(counts), dtype=torch.float64), y, n_classes=len(counts))


def biased_echo(classes: int = 3) -> Model:
    model = tiny.echo(classes)
    model.classifier.bias = torch.nn.Parameter(torch.zeros(classes, dtype=torch.float64))
    return model


def test_training_loss_of_the_example() -> None:
    data, model, method = example(), tiny.echo(3), LogitAdjust()
    state = method.start(data, model)
    tiny.assert_values(method.loss(data.batch(torch.tensor([99])), model, state), 4.605170)


def test_logits_after_the_fact_of_the_example() -> None:
    model = biased_echo()
    LogitAdjust(when="after").start(example(), model)
    logits = model(torch.tensor([[2.0, 1, 0]], dtype=torch.float64))
    tiny.assert_values(logits, 2.105361, 3.407946, 4.605170)
    assert int(logits.argmax()) == 2


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_agrees_with_a_loop(tau: float) -> None:
    data, model = tiny.split(classes=3, dtype=torch.float64), tiny.network(3, dtype=torch.float64)
    method = LogitAdjust(tau=tau)
    found = method.loss(tiny.whole(data), model, method.start(data, model))
    counts, total = data.count_C.tolist(), 0.0
    for x, y in zip(data.inputs.x, data.y.tolist(), strict=True):
        powers = [(n / len(data)) ** tau * torch.exp(z) for n, z in zip(counts, model(x[None])[0], strict=True)]
        total -= torch.log(powers[y] / sum(powers)).item()
    assert found.item() == pytest.approx(total / len(data), rel=1e-9)


def test_uniform_classes_and_tau_zero_are_plain_training() -> None:
    for data, tau in ((example((3, 3, 3)), 1.0), (example(), 0.0)):
        model, method = tiny.echo(3), LogitAdjust(tau=tau)
        batch = tiny.whole(data)._replace(x=torch.randn(len(data), 3, dtype=torch.float64))
        loss = method.loss(batch, model, method.start(data, model))
        torch.testing.assert_close(loss, F.cross_entropy(batch.x, batch.y))
        after = biased_echo()
        LogitAdjust(tau=tau, when="after").start(data, after)
        assert torch.equal(after(batch.x).argmax(1), batch.x.argmax(1))


def test_after_the_fact_the_loss_is_that_of_the_model_before() -> None:
    data, model, method = tiny.split(), tiny.network(), LogitAdjust(when="after")
    before = F.cross_entropy(model(data.inputs.x), data.y)
    state = method.start(data, model)
    torch.testing.assert_close(method.loss(tiny.whole(data), model, state), before)


def test_stages() -> None:
    assert [stage.method for stage in LogitAdjust().stages()] == [LogitAdjust()]
    plain, after = LogitAdjust(when="after").stages()
    assert (plain.method, plain.keep, after.epochs) == (ERM(), "best", 0)


def test_the_sweep_takes_the_first_tau_of_the_best_mean_over_classes() -> None:
    # Class 1 is rare in training: its validation row is right from log(9) * tau > 1.5 on, tau > 0.683.
    train = example((90, 10))
    val = Split.of(torch.tensor([[3.0, 0], [1.5, 0]], dtype=torch.float64), torch.tensor([0, 1]))
    model = biased_echo(2)
    method = LogitAdjust(when="after", sweep=(0.25, 0.5, 0.75, 1.0, 2.0))
    method.start(train, model, val)
    tiny.assert_values(model.classifier.bias, -0.75 * torch.tensor(0.9).log().item(), 0.75 * 2.302585)
    with pytest.raises(BadInput, match="sweep of LogitAdjust needs a validation split"):
        method.start(train, model)


def test_a_class_without_rows_is_as_if_it_had_some() -> None:
    data, model, method = example((5, 4, 0)), tiny.echo(3), LogitAdjust()
    state: Any = method.start(data, model)
    tiny.assert_values(state.offset_C.exp(), 0.5, 0.4, 0.1)
    state = LogitAdjust(least_count=0.5).start(data, model)
    tiny.assert_values(state.offset_C.exp(), 5 / 9.5, 4 / 9.5, 0.5 / 9.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": -1.0}, "tau of LogitAdjust must be at least 0, got -1.0"),
        ({"least_count": 0.0}, "least_count of LogitAdjust must be above 0, got 0.0"),
        ({"sweep": (1.0,)}, "sweep of LogitAdjust is for when=after only"),
        ({"when": "after", "sweep": (1.0, -1.0)}, "sweep of LogitAdjust must be values of at least 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LogitAdjust(**options)


def test_after_the_fact_needs_a_bias() -> None:
    with pytest.raises(BadInput, match="LogitAdjust with when=after needs a classifier with a bias"):
        LogitAdjust(when="after").start(example(), tiny.echo(3))
