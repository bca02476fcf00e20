from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods.erm import ERM
from evenhand.methods.mmsgd import MMSGD
from evenhand.model import Model


def split_with_losses(losses: list[float], each: int = 4, *, attributes: int = 3) -> Split:
    """Rows of class 0, `each` of every attribute value, whose cross-entropies under `tiny.echo` are these."""
    attribute = torch.arange(len(losses)).repeat_interleave(each)
    x = tiny.logits_with_loss(losses, [0] * len(losses)).repeat_interleave(each, 0)
    return Split.of(x, torch.zeros_like(attribute), attribute, n_classes=2, attribute_sizes=[attributes])


def begin(train: Split, val: Split, model: Model | None = None, **options: Any) -> tuple[MMSGD, Model, Any]:
    method, model = MMSGD(**{"groups": "group", **options}), model or tiny.echo()
    torch.manual_seed(0)
    return method, model, method.start(train, model, val)


def drawn(method: MMSGD, train: Split, state: Any, seed: int = 0, size: int = 8) -> Tensor:
    return torch.cat(list(method.batches(train, state, size, Generator().manual_seed(seed))))


@pytest.mark.parametrize("groups", ["group", "attribute"])
def test_only_rows_of_the_worst_group_are_drawn(groups: Any) -> None:
    train, val = split_with_losses([1.0] * 3), split_with_losses([0.2, 0.9, 0.5])
    method, _, state = begin(train, val, groups=groups)
    tiny.assert_values(state.loss_L, 0.2, 0.9, 0.5)
    rows = torch.cat([drawn(method, train, state, seed) for seed in range(20)])
    assert set(rows.tolist()) == set(torch.nonzero(train.attribute == 1).flatten().tolist())


def test_of_equal_losses_the_lowest_group_is_taken() -> None:
    train, val = split_with_losses([1.0] * 3), split_with_losses([0.5, 0.9, 0.9])
    method, _, state = begin(train, val)
    assert set(train.attribute[drawn(method, train, state)].tolist()) == {1}


def test_groups_are_classes_by_attributes_and_attributes_join_classes() -> None:
    data = tiny.split(classes=2, attributes=(3,))
    assert len(begin(data, data, tiny.network())[2].loss_L) == 6
    assert len(begin(data, data, tiny.network(), groups="attribute")[2].loss_L) == 3


def test_draws_within_the_worst_group_are_uniform_and_repeat() -> None:
    train, val = split_with_losses([1.0] * 3, each=10), split_with_losses([0.2, 0.9, 0.5])
    method, _, state = begin(train, val)
    rows = torch.cat([drawn(method, train, state, seed) for seed in range(200)])
    share = torch.bincount(rows, minlength=30)[10:20] / len(rows)
    torch.testing.assert_close(share, torch.full((10,), 0.1), atol=0.01, rtol=0)


@pytest.mark.parametrize("whole_share", [0.3, 1.0])
def test_whole_share_of_the_batches_comes_from_all_rows(whole_share: float) -> None:
    train, val = split_with_losses([1.0] * 3, each=100), split_with_losses([0.2, 0.9, 0.5])
    method, _, state = begin(train, val, whole_share=whole_share)
    rng, n_whole, n_batches = Generator().manual_seed(0), 0, 0
    for _ in range(100):
        for rows in method.batches(train, state, 30, rng):
            n_whole += len(train.attribute[rows].unique()) > 1
            n_batches += 1
    assert n_batches == 1000
    assert n_whole / n_batches == pytest.approx(whole_share, abs=0.05)


def test_an_epoch_has_as_many_full_batches_as_cover_the_split() -> None:
    train = split_with_losses([1.0] * 3)
    method, _, state = begin(train, train)
    assert [len(rows) for rows in method.batches(train, state, 5, Generator())] == [5, 5, 5]


def test_running_losses_agree_with_a_loop() -> None:
    train, val = tiny.split(dtype=torch.float64), tiny.split(seed=1, dtype=torch.float64)
    method, model, state = begin(train, val, tiny.network(dtype=torch.float64), val_rows=3, ema=0.25)

    def losses_now() -> Tensor:
        return torch.nn.functional.cross_entropy(model(val.inputs.x), val.y, reduction="none").detach()

    wanted = [losses_now()[val.group == group].mean().item() for group in range(4)]
    assert state.loss_L.tolist() == pytest.approx(wanted)
    order = [[row for row in state.val_rows_N.tolist() if val.group[row] == group] for group in range(4)]
    for step in range(10):
        with torch.no_grad():
            model.classifier.weight.add_(0.1)
        method.loss(tiny.whole(train), model, state)
        for group in range(4):
            rows = [order[group][(3 * step + k) % len(order[group])] for k in range(3)]
            wanted[group] += 0.25 * (losses_now()[rows].mean().item() - wanted[group])
    assert state.loss_L.tolist() == pytest.approx(wanted)


def test_every_validation_row_is_looked_at_in_turn() -> None:
    data = tiny.split()
    _, _, state = begin(data, data, tiny.network())
    rows = torch.cat([state.next_rows(5).flatten() for _ in range(-(-int(data.count_G.max()) // 5))])
    assert set(rows.tolist()) == set(range(60))


def test_validation_leaves_no_trace_in_batch_normalisation() -> None:
    data = tiny.split()
    torch.manual_seed(0)
    model = Model.linear(torch.nn.Sequential(torch.nn.Linear(tiny.FEATURES, 6), torch.nn.BatchNorm1d(6)), 6, 2)
    method, _, state = begin(data, data, model)
    batch = tiny.whole(data)
    method.loss(batch, model, state)
    once = model.encoder[1].running_mean.clone()
    torch.testing.assert_close(once, 0.1 * model.encoder[0](batch.x).mean(0))


def test_loss_is_that_of_plain_training() -> None:
    data = tiny.split()
    method, model, state = begin(data, data, tiny.network())
    batch = tiny.whole(data)
    assert torch.equal(method.loss(batch, model, state), ERM().loss(batch, model, state))


def test_groups_without_rows_in_either_split_take_no_part() -> None:
    train, val = split_with_losses([1.0] * 3), split_with_losses([0.2, 0.5, 0.3, 9.0], attributes=4)
    wide = Split.of(train.inputs.x, train.y, train.attribute, n_classes=2, attribute_sizes=[4])
    method, _, state = begin(wide, val)
    assert len(state.loss_L) == 3
    assert set(train.attribute[drawn(method, wide, state)].tolist()) == {1}


def test_warm_start_is_plain_training_before() -> None:
    first, last = MMSGD(warm_start=3).stages()
    assert (first.method, first.epochs) == (ERM(), 3)
    assert last.method == MMSGD(warm_start=3)
    assert len(MMSGD().stages()) == 1


def test_the_worst_group_gains() -> None:
    data = tiny.split(400)
    losses = {}
    for name, options in (("worst", {}), ("plain", {"whole_share": 1.0})):
        method, model, state = begin(data, data, tiny.network(), **options)
        tiny.train(method, model, data, data, state, epochs=20)
        loss = torch.nn.functional.cross_entropy(model(data.inputs.x), data.y, reduction="none").detach()
        losses[name] = max(loss[data.group == group].mean().item() for group in range(4))
    assert losses["worst"] < losses["plain"]


def test_errors() -> None:
    data = tiny.split()
    with pytest.raises(BadInput, match="MMSGD needs a validation split"):
        MMSGD().start(data, tiny.network())
    with pytest.raises(BadInput, match="MMSGD needs group labels in validation"):
        MMSGD().start(data, tiny.network(), data.without_groups())
    x, y, a = torch.zeros(4, tiny.FEATURES), torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    train = Split.of(x, y * 0, a, n_classes=2, attribute_sizes=[2])
    val = Split.of(x, y * 0 + 1, a, n_classes=2, attribute_sizes=[2])
    with pytest.raises(BadInput, match="MMSGD needs a group with rows both in training and in validation"):
        MMSGD(groups="group").start(train, tiny.network(), val)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"whole_share": 1.1}, r"whole_share of MMSGD must be in \[0, 1\], got 1.1"),
        ({"val_rows": 0}, "val_rows of MMSGD must be at least 1, got 0"),
        ({"ema": 0.0}, r"ema of MMSGD must be in \(0, 1\], got 0.0"),
        ({"warm_start": -1}, "warm_start of MMSGD must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        MMSGD(**options)
