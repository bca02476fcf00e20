from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.fairmix import FairMix, gap, positive, slopes
from evenhand.model import Model

X0 = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
X1 = torch.tensor([[2.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
WEIGHT = torch.tensor([1.0, -2.0], dtype=torch.float64)


def path_slope(share: float, *, sigmoid: bool) -> Tensor:
    shares = torch.full((2,), share, dtype=torch.float64, requires_grad=True)
    value = (shares[:, None] * X0 + (1 - shares[:, None]) * X1) @ WEIGHT
    value = value.sigmoid() if sigmoid else value
    return slopes(value.mean().view(1, 1), shares, 1).abs()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_slope_of_a_linear_function_is_the_same_all_along(share: float) -> None:
    tiny.assert_values(path_slope(share, sigmoid=False), 2.0)


def test_slope_and_gap_of_a_sigmoid() -> None:
    tiny.assert_values(path_slope(0.25, sigmoid=True), 0.384150)
    values = (torch.cat([X0, X1]) @ WEIGHT).sigmoid()[:, None]
    tiny.assert_values(gap(values, torch.tensor([0, 0, 1, 1]), torch.tensor([[0, 1]]), 2), 0.421457)


def test_loss_adds_the_slope_of_the_probability_of_class_1() -> None:
    """A linear model whose class-1 logit is the function above; equal rows on either side leave no choice of pairs."""
    model = Model.linear(nn.Identity(), 2, 2, bias=False).double()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.stack([0 * WEIGHT, WEIGHT]))
    x = torch.cat([X0[:1].expand(2, -1), X1[1:].expand(2, -1)])
    batch = Batch(x, torch.tensor([1, 1, 1, 1]), torch.tensor([2, 2, 3, 3]), torch.arange(4))
    data = Split.of(x, batch.y, torch.tensor([0, 0, 1, 1]), n_classes=2)
    method = FairMix(weight=3.0, criterion="demographic_parity")
    torch.manual_seed(0)
    loss = method.loss(batch, model, method.start(data, model))
    torch.manual_seed(0)
    torch.randperm(2), torch.rand(1, 4)
    share = float(torch.distributions.Beta(*torch.ones(2, dtype=torch.float64)).sample((1,)))
    ends = (x[:1] @ WEIGHT, x[2:3] @ WEIGHT)
    slopes_ = []
    for s in (share, 1 - share):  # which value is the first of a pair is drawn, too
        prob = (s * ends[0] + (1 - s) * ends[1]).sigmoid()
        slopes_.append(float((prob * (1 - prob) * (ends[0] - ends[1])).abs()))
    plain = ERM().loss(batch, model, method.start(data, model)).item()
    assert min(abs(loss.item() - plain - 3 * slope) for slope in slopes_) < 1e-9


# --- a slow reference: the Jacobian of every mixed row by autograd, then the product and the mean ---


def reference(method: FairMix, batch: Batch, model: Model, ends: list[tuple[int, int]], label: Tensor) -> float:
    """The penalty with the draws of the seed just set; `ends` are in the order of the paths."""
    torch.randperm(2)
    keys = torch.rand(1, len(batch.y))[0]
    share = torch.distributions.Beta(*torch.ones(2, dtype=torch.float64)).sample((len(ends),))
    each, total = max(len(batch.y) // (len(ends) * 2), 1), 0.0
    for path, (first, second) in enumerate(ends):
        decks = [
            [i for _, i in sorted((float(keys[i]), i) for i in range(len(keys)) if label[i] == v)]
            for v in (first, second)
        ]
        jacobians = []
        for turn in range(each):
            i, j = (deck[turn % len(deck)] for deck in decks)
            if method.level == "feature":
                a, b = (model.encoder(batch.x[k]).detach() for k in (i, j))
                function: Any = model.classifier
            else:
                a, b, function = batch.x[i], batch.x[j], model
            mixed = share[path] * a + (1 - share[path]) * b
            jacobian = torch.autograd.functional.jacobian(lambda v, f=function: f(v).softmax(-1), mixed)
            jacobians.append(jacobian @ (a - b))
        mean = torch.stack(jacobians).mean(0)
        total += float(mean.abs().sum() if len(mean) > 2 else mean[1].abs())
    return total


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("level", ["input", "feature"])
@pytest.mark.parametrize("criterion", ["demographic_parity", "equalized_odds"])
def test_agrees_with_the_jacobian_of_every_mixture(criterion: Any, level: Any, classes: int) -> None:
    data = tiny.split(40, classes=classes, dtype=torch.float64)
    model, batch = tiny.network(classes, dtype=torch.float64), tiny.whole(data)
    method = FairMix(weight=2.0, criterion=criterion, level=level)
    torch.manual_seed(3)
    loss = method.loss(batch, model, method.start(data, model)).item()
    torch.manual_seed(3)
    two = torch.randperm(2).tolist()
    torch.manual_seed(3)
    if criterion == "demographic_parity":
        ends, label = [tuple(two)], data.attribute
    else:
        ends, label = [(2 * c + two[0], 2 * c + two[1]) for c in range(classes)], data.group
    penalty = reference(method, batch, model, ends, label)
    assert penalty > 1e-5
    assert loss == pytest.approx(ERM().loss(batch, model, None).item() + 2 * penalty, abs=1e-9)


@pytest.mark.parametrize("criterion", ["demographic_parity", "equalized_odds"])
def test_gap_agrees_with_means_written_out(criterion: Any) -> None:
    data, model = tiny.split(dtype=torch.float64), tiny.network(dtype=torch.float64)
    method, batch = FairMix(weight=1.0, penalty="gap", criterion=criterion), tiny.whole(data)
    prob = model(batch.x).softmax(1)[:, 1].detach()
    if criterion == "demographic_parity":
        wanted = abs(float(prob[data.attribute == 0].mean() - prob[data.attribute == 1].mean()))
    else:
        wanted = sum(
            abs(float(prob[data.group == 2 * c].mean() - prob[data.group == 2 * c + 1].mean())) for c in (0, 1)
        )
    loss = method.loss(batch, model, method.start(data, model))
    assert (loss - ERM().loss(batch, model, None)).item() == pytest.approx(wanted, abs=1e-12)


# --- limits and properties ---


@pytest.mark.parametrize("penalty", ["path", "gap"])
def test_weight_zero_is_plain_training(penalty: Any) -> None:
    data, model, method = tiny.split(), tiny.network(), FairMix(weight=0.0, penalty=penalty)
    loss = method.loss(tiny.whole(data), model, method.start(data, model))
    assert torch.equal(loss, ERM().loss(tiny.whole(data), model, None))


@pytest.mark.parametrize("level", ["input", "feature"])
def test_equal_rows_on_either_side_add_nothing(level: Any) -> None:
    data, model = tiny.split(dtype=torch.float64), tiny.network(dtype=torch.float64)
    method, batch = FairMix(weight=5.0, level=level), tiny.whole(data)
    batch = batch._replace(x=batch.x[:1].expand(60, -1))
    loss = method.loss(batch, model, method.start(data, model))
    torch.testing.assert_close(loss, ERM().loss(batch, model, None))


@pytest.mark.parametrize("penalty", ["path", "gap"])
def test_a_value_that_is_missing_from_a_class_drops_that_class_only(penalty: Any) -> None:
    data, model = tiny.split(80, dtype=torch.float64), tiny.network(dtype=torch.float64)
    method = FairMix(penalty=penalty)
    state = method.start(data, model)
    both = torch.nonzero(data.group < 2).flatten()
    one = torch.nonzero(data.group == 3).flatten()
    for rows, adds in ((torch.cat([both, one]), True), (torch.cat([both[data.group[both] == 0], one]), False)):
        batch = data.batch(rows)
        extra = (method.loss(batch, model, state) - ERM().loss(batch, model, None)).item()
        assert (extra > 1e-6) == adds


def test_training_narrows_the_gap() -> None:
    data = tiny.split(300)
    found = {}
    for weight in (0.0, 5.0):
        method, model = FairMix(weight=weight, criterion="demographic_parity"), tiny.network()
        tiny.train(method, model, data, data, method.start(data, model), epochs=20)
        prob = positive(model(data.inputs.x).detach())
        found[weight] = float(gap(prob, data.attribute, torch.tensor([[0, 1]]), 2))
    assert found[5.0] < 0.5 * found[0.0]


def test_batches_of_more_than_two_values_draw_two_of_those_with_training_rows() -> None:
    data = tiny.split(90, attributes=(4,))
    kept = torch.nonzero(data.attribute != 1).flatten()
    data = Split.of(data.inputs.x[kept], data.y[kept], data.attributes[kept], n_classes=2, attribute_sizes=[4])
    method = FairMix(criterion="demographic_parity")
    state = method.start(data, tiny.network())
    torch.manual_seed(0)
    drawn = {tuple(sorted(method._labels(data.group, state)[1][0].tolist())) for _ in range(60)}
    assert drawn == {(0, 2), (0, 3), (2, 3)}


@pytest.mark.parametrize(("criterion", "label"), [("demographic_parity", "attribute"), ("equalized_odds", "group")])
def test_batches_are_balanced_over_what_is_compared(criterion: Any, label: str) -> None:
    data, method = tiny.split(100), FairMix(criterion=criterion)
    values = getattr(data, label)
    for rows in method.batches(data, method.start(data, tiny.network()), 16, Generator().manual_seed(0)):
        counts = torch.bincount(values[rows])
        assert counts.tolist() == [16 // len(counts)] * len(counts)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="weight of FairMix must be at least 0, got -1"):
        FairMix(weight=-1)
    with pytest.raises(BadInput, match="alpha of FairMix must be above 0, got 0"):
        FairMix(alpha=0)
