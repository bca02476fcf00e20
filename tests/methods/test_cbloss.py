from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._classes import class_balanced_weights, effective_number
from evenhand.methods.cbloss import CBLoss

COUNT = torch.tensor([100, 10, 1], dtype=torch.float64)


def split_of(counts: list[int]) -> Split:
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Split.of(torch.zeros(len(y), len(counts), dtype=torch.float64), y, n_classes=len(counts))


def loss_of(logits: torch.Tensor, y: torch.Tensor, counts: list[int], **options: Any) -> torch.Tensor:
    data, method = split_of(counts), CBLoss(**options)
    model = tiny.echo(len(counts))
    batch = tiny.whole(data)._replace(x=logits, y=y)
    return method.loss(batch, model, method.start(data, model))


# --- the weights ---


def test_effective_numbers_and_weights_of_the_example() -> None:
    tiny.assert_values(effective_number(COUNT, 0.9999), 99.506613, 9.995501, 1)
    tiny.assert_values(class_balanced_weights(COUNT, 0.9999), 0.027159, 0.270369, 2.702472)
    tiny.assert_values(class_balanced_weights(COUNT, 0.9), 0.239329, 0.367442, 2.393229)


def test_limits_of_beta() -> None:
    tiny.assert_values(class_balanced_weights(COUNT, 0.0), 1, 1, 1)
    inverse = 1 / COUNT
    torch.testing.assert_close(class_balanced_weights(COUNT, 1.0), 3 * inverse / inverse.sum())
    torch.testing.assert_close(class_balanced_weights(COUNT, 1 - 1e-12), class_balanced_weights(COUNT, 1.0))


def test_classes_without_rows_are_not_counted() -> None:
    weight = class_balanced_weights(torch.tensor([10.0, 0, 10, 0], dtype=torch.float64), 0.999)
    tiny.assert_values(weight, 1, 0, 1, 0)


@given(counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=8), beta=st.floats(0, 1, exclude_max=True, width=32))
def test_weights_sum_to_the_classes_and_favour_the_rare(counts: list[int], beta: float) -> None:
    weight = class_balanced_weights(torch.tensor(counts, dtype=torch.float64), beta)
    assert weight.sum().item() == pytest.approx(len(counts))
    order = torch.tensor(counts).argsort()
    assert bool((weight[order].diff() <= 1e-12).all())


# --- the loss ---


def reference(logits: torch.Tensor, y: torch.Tensor, weight: list[float], gamma: float | None) -> float:
    """Binary cross-entropies of all classes, all weighted by the row's own class, over the rows."""
    total = 0.0
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        for c, z in enumerate(row):
            p = 1 / (1 + math.exp(-z if c == label else z))
            total += -weight[label] * (1 - p) ** (gamma or 0) * math.log(p)
    return total / len(y)


@pytest.mark.parametrize(("form", "gamma"), [("sigmoid", None), ("focal", 0.5), ("focal", 2.0), ("focal", 0.0)])
def test_sigmoid_and_focal_agree_with_a_loop(form: str, gamma: float | None) -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 0, 1])
    options = {} if gamma is None else {"gamma": gamma}
    found = loss_of(logits, y, [100, 10, 1], form=form, first_bias=False, **options)
    wanted = reference(logits, y, class_balanced_weights(COUNT, 0.9999).tolist(), gamma)
    assert found.item() == pytest.approx(wanted, rel=1e-9)


def test_both_reductions() -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 0, 1])
    weight = class_balanced_weights(COUNT, 0.9)
    each = F.cross_entropy(logits, y, reduction="none")
    mean = loss_of(logits, y, [100, 10, 1], beta=0.9)
    torch.testing.assert_close(mean, (weight[y] * each).mean())
    weighted = loss_of(logits, y, [100, 10, 1], beta=0.9, reduction="weighted")
    torch.testing.assert_close(weighted, F.cross_entropy(logits, y, weight))


@pytest.mark.parametrize("reduction", ["mean", "weighted"])
def test_beta_zero_is_plain_training(reduction: Any) -> None:
    data, model = tiny.split(), tiny.network()
    method = CBLoss(beta=0.0, reduction=reduction)
    loss = method.loss(tiny.whole(data), model, method.start(data, model))
    torch.testing.assert_close(loss, F.cross_entropy(model(data.inputs.x), data.y))


def test_balanced_weights_may_come_later() -> None:
    data, model = tiny.split(), tiny.network()
    deferred, balanced = CBLoss(defer=2), CBLoss()
    state, batch = deferred.start(data, model), tiny.whole(data)
    wanted = balanced.loss(batch, model, balanced.start(data, model))
    plain = F.cross_entropy(model(batch.x), batch.y)
    for _ in range(2):
        torch.testing.assert_close(deferred.loss(batch, model, state), plain)
        deferred.end_epoch(data, model, state)
    torch.testing.assert_close(deferred.loss(batch, model, state), wanted)
    assert not torch.isclose(wanted, plain)


@pytest.mark.parametrize("form", ["sigmoid", "focal"])
def test_all_probabilities_begin_at_one_in_C(form: Any) -> None:
    data, model = tiny.split(classes=3), tiny.network(3)
    CBLoss(form=form).start(data, model)
    torch.testing.assert_close(model.classifier.bias.sigmoid(), torch.full((3,), 1 / 3))
    untouched = tiny.network(3)
    before = untouched.classifier.bias.clone()
    CBLoss(form=form, first_bias=False).start(data, untouched)
    CBLoss().start(data, untouched)
    assert torch.equal(untouched.classifier.bias, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1.1}, r"beta of CBLoss must be in \[0, 1\], got 1.1"),
        ({"gamma": -1.0}, "gamma of CBLoss must be at least 0, got -1.0"),
        ({"defer": -1}, "defer of CBLoss must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        CBLoss(**options)
