from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.ncdebias import NCDebias
from evenhand.model import Model

# The example: features are the inputs; groups (y, a).
FEATURES = torch.tensor([[2, 0], [4, 0], [1, 1], [0, 3], [0, 1], [1, 2]], dtype=torch.float64)
Y, A = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 1, 0])


def example() -> Split:
    return Split.of(FEATURES, Y, A)


def example_loss(rows: list[int] | None = None, **options: Any) -> Tensor:
    data, model, method = example(), tiny.echo(), NCDebias(**options)
    state = method.start(data, model, data)
    return method.loss(data.batch(torch.tensor(rows or range(6))), model, state)


def begin(data: Split, val: Split | None = None, **options: Any) -> tuple[NCDebias, Model, Any]:
    method, model = NCDebias(**options), tiny.network(data.n_classes, dtype=torch.float64)
    return method, model, method.start(data, model, val)


def tiny_split(**shape: Any) -> Split:
    return tiny.split(dtype=torch.float64, **shape)


# --- values computed by hand ---


def test_classifier_is_the_direction_of_the_largest_groups() -> None:
    model = tiny.echo()
    with torch.no_grad():
        model.classifier.weight.fill_(7.0)
    NCDebias().start(example(), model)
    tiny.assert_values(model.classifier.weight, 1, 0, 0, 1)


def test_loss_of_the_example() -> None:
    tiny.assert_values(example_loss(), 4.259872)


def test_parts_of_the_loss_of_the_example() -> None:
    tiny.assert_values(example_loss(align_weight=0.0), 1.259872)
    tiny.assert_values(example_loss(align_weight=0.0, group_ce=False), 0.252223)
    tiny.assert_values(example_loss(group_ce=False), 0.252223 + 3.0)
    tiny.assert_values(example_loss(align_weight=0.5), 1.259872 + 1.5)


def test_a_pair_that_lacks_a_group_is_not_aligned() -> None:
    # Without the last row, group (1, 0) is missing: its cross-entropy and the alignment of class 1 (0.5) go.
    tiny.assert_values(example_loss([0, 1, 2, 3, 4]), 4.259872 - 0.313262 - 0.5)
    tiny.assert_values(example_loss([0, 1, 3, 4]), 0.072539 + 0.180925)


# --- a slow reference ---


def reference(data: Split, model: Model, batch: Batch, align_weight: float) -> float:
    features, logits = model.encoder(batch.x), model(batch.x)
    total, means = 0.0, {}
    for group in range(data.n_groups):
        own = [i for i in range(len(batch.y)) if batch.group[i] == group]
        if own:
            total += sum(F.cross_entropy(logits[i : i + 1], batch.y[i : i + 1]).item() for i in own) / len(own)
            means[group] = sum(features[i] for i in own) / len(own)
    for y in range(data.n_classes):
        for a in range(data.n_attributes):
            for b in range(a + 1, data.n_attributes):
                g, h = y * data.n_attributes + a, y * data.n_attributes + b
                if g in means and h in means:
                    total += align_weight * ((means[g] - means[h]) ** 2).mean().item()
    return total


@pytest.mark.parametrize(("classes", "attributes"), [(2, (2,)), (3, (2,)), (2, (3,)), (3, (2, 2))])
@pytest.mark.parametrize("align_weight", [0.0, 1.0, 2.5])
def test_agrees_with_loops_over_groups_and_pairs(
    classes: int, attributes: tuple[int, ...], align_weight: float
) -> None:
    data = tiny_split(classes=classes, attributes=attributes)
    method, model, state = begin(data, align_weight=align_weight)
    for rows in torch.arange(60).split(7):
        batch = data.batch(rows)
        wanted = reference(data, model, batch, align_weight)
        assert method.loss(batch, model, state).item() == pytest.approx(wanted, rel=1e-9)


def reference_weights(data: Split, source: Split, model: Model) -> Tensor:
    weights = []
    for y in range(data.n_classes):
        counts = [int((data.group == y * data.n_attributes + a).sum()) for a in range(data.n_attributes)]
        own = source.group == y * data.n_attributes + counts.index(max(counts))
        mean = torch.stack([model.encoder(x[None])[0] for x in source.inputs.x[own]]).mean(0)
        weights.append(mean / mean.norm())
    return torch.stack(weights)


@pytest.mark.parametrize("statistics_from", ["train", "val"])
def test_classifier_agrees_with_a_loop_and_is_refreshed_after_every_epoch(statistics_from: Any) -> None:
    data, val = tiny_split(n_rows=300, classes=3), tiny_split(n_rows=200, classes=3, seed=1)
    method, model, state = begin(data, val, statistics_from=statistics_from)
    source = data if statistics_from == "train" else val
    torch.testing.assert_close(model.classifier.weight, reference_weights(data, source, model))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    method.end_epoch(data, model, state, val)
    torch.testing.assert_close(model.classifier.weight, reference_weights(data, source, model))
    assert torch.count_nonzero(model.classifier.bias) == 0


# --- parts on and off ---


def test_all_parts_off_is_plain_training() -> None:
    data = tiny_split()
    method, model, state = begin(data, freeze_classifier=False, group_ce=False, align_weight=0.0)
    batch = tiny.whole(data)
    torch.testing.assert_close(method.loss(batch, model, state), F.cross_entropy(model(batch.x), batch.y))


def test_a_classifier_that_is_not_frozen_is_left_alone_and_trained() -> None:
    data = tiny_split()
    model, method = tiny.network(dtype=torch.float64), NCDebias(freeze_classifier=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = method.start(data, model)
    method.end_epoch(data, model, state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    method.loss(tiny.whole(data), model, state).backward()
    assert model.classifier.weight.grad is not None
    assert model.classifier.bias.grad is not None
    assert method.stages()[0].trains == "all"


def test_a_frozen_classifier_stays_during_an_epoch() -> None:
    data = tiny_split()
    method, model, state = begin(data)
    before = model.classifier.weight.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    method.loss(tiny.whole(data), model, state).backward()
    optimizer.step()
    assert torch.equal(model.classifier.weight, before)
    assert method.stages()[0].trains == "encoder"


def test_training_pulls_the_groups_of_a_class_together() -> None:
    data = tiny_split(n_rows=200)
    gaps = {}
    for weight in (0.0, 5.0):
        method, model, state = begin(data, align_weight=weight)
        tiny.train(method, model, data, data, state, epochs=20)
        with torch.no_grad():
            features = model.encoder(data.inputs.x)
        gaps[weight] = (features[data.group == 0].mean(0) - features[data.group == 1].mean(0)).norm()
    assert gaps[5.0] < 0.7 * gaps[0.0]


# --- train and eval mode, and the published code ---


def with_batch_norm() -> Model:
    torch.manual_seed(0)
    return Model.linear(nn.Sequential(nn.Linear(tiny.FEATURES, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)), 6, 2)


def test_statistics_are_taken_in_eval_mode_and_leave_no_trace() -> None:
    data, model = tiny.split(), with_batch_norm()
    before = model.encoder[1].running_mean.clone()
    NCDebias().start(data, model)
    assert torch.equal(model.encoder[1].running_mean, before)
    assert model.training
    model.eval()
    wanted = reference_weights(data, data, model)
    torch.testing.assert_close(model.classifier.weight, wanted)


def test_legacy_takes_means_from_validation_in_train_mode_and_leaves_the_bias() -> None:
    data, val, model = tiny.split(), tiny.split(seed=1), with_batch_norm().eval()
    model.encoder[2].p = 0.0
    bias, seen = model.classifier.bias.clone(), model.encoder[1].running_mean.clone()
    NCDebias(legacy=True).start(data, model, val)
    assert torch.equal(model.classifier.bias, bias)
    assert not torch.equal(model.encoder[1].running_mean, seen)
    assert not model.training


def test_legacy_skips_a_batch_that_lacks_a_group() -> None:
    data = tiny_split()
    method, model, state = begin(data, data, legacy=True)
    rows = torch.nonzero(data.group != 2).flatten()
    loss = method.loss(data.batch(rows), model, state)
    loss.backward()
    assert loss == 0
    assert all(torch.count_nonzero(p.grad) == 0 for p in model.encoder.parameters())
    batch = tiny.whole(data)
    assert method.loss(batch, model, state).item() == pytest.approx(reference(data, model, batch, 1.0), rel=1e-9)


# --- extremes and errors ---


def test_of_equally_large_groups_the_first_is_taken() -> None:
    model = tiny.echo()
    data = Split.of(
        torch.eye(2, dtype=torch.float64).repeat(2, 1), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1] * 2)
    )
    NCDebias().start(data, model)
    tiny.assert_values(model.classifier.weight, 1, 0, 1, 0)


def test_features_of_zero_give_no_direction_and_no_nan() -> None:
    data, model, method = Split.of(torch.zeros_like(FEATURES), Y, A), tiny.echo(), NCDebias()
    state = method.start(data, model)
    assert torch.count_nonzero(model.classifier.weight) == 0
    tiny.assert_values(method.loss(tiny.whole(data), model, state), 4 * 0.693147)


@pytest.mark.parametrize("options", [{"statistics_from": "val"}, {"legacy": True}])
def test_statistics_from_validation_need_it(options: Any) -> None:
    with pytest.raises(BadInput, match="NCDebias needs a validation split"):
        begin(tiny_split(), None, **options)
    with pytest.raises(BadInput, match="NCDebias needs group labels in validation"):
        begin(tiny_split(), tiny_split().without_groups(), **options)
    full = tiny_split(seed=1)
    rows = torch.nonzero(full.group != 0).flatten()
    val = Split.of(full.inputs.take(rows), full.y[rows], full.attributes[rows], n_classes=2, attribute_sizes=[2])
    with pytest.raises(BadInput, match="NCDebias needs validation rows of the group y=0, a0=0, got none"):
        begin(tiny_split(), val, **options)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(BadInput, match="align_weight of NCDebias must be at least 0, got -1"):
        NCDebias(align_weight=-1)


def test_a_warm_start_is_a_stage_of_plain_training_before() -> None:
    plain, debias = NCDebias(warm_start=2).stages()
    assert (plain.method, plain.epochs, plain.trains) == (ERM(), 2, "all")
    assert (debias.method, debias.epochs, debias.trains) == (NCDebias(warm_start=2), None, "encoder")
    with pytest.raises(BadInput, match="warm_start of NCDebias must be at least 0, got -1"):
        NCDebias(warm_start=-1)
