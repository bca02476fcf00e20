from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import tiny
from evenhand.batch import Split
from evenhand.errors import BadInput
from evenhand.methods._errors import RecordedERM, recorded_errors
from evenhand.methods.erm import ERM
from evenhand.methods.jtt import JTT
from evenhand.model import Model
from evenhand.settings import Settings
from evenhand.train import fit

SETTINGS = Settings(epochs=2, batch_size=16, lr=0.01, select="worst_class")


def errors(n_rows: int, *wrong: int) -> Tensor:
    return torch.zeros(n_rows, dtype=torch.bool).index_fill(0, torch.tensor(wrong, dtype=torch.int64), True)


def begin(data: Split, **options: Any) -> tuple[JTT, Model, Any]:
    method, model = JTT(**options), tiny.network(data.n_classes)
    return method, model, method.start(data, model)


# --- the rows of an epoch ---


def test_length_of_an_epoch_of_the_example() -> None:
    wrong_N = errors(10, 2, 5, 9)
    assert len(JTT(upweight=5, copies="added").rows(wrong_N)) == 25
    assert len(JTT(upweight=5).rows(wrong_N)) == 22


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({"upweight": 4}, 4),
        ({"upweight": 1}, 1),
        ({"upweight": 4, "copies": "added"}, 5),
        ({"upweight": 0, "copies": "added"}, 1),
        ({"upweight": "balance"}, 2),  # (10 - 3) // 3
        ({"upweight": "balance", "copies": "added"}, 2),
    ],
)
def test_errors_come_so_often_and_all_other_rows_once(options: dict[str, Any], times: int) -> None:
    count = Counter(JTT(**options).rows(errors(10, 2, 5, 9)).tolist())
    assert count == {row: times if row in (2, 5, 9) else 1 for row in range(10)}


@pytest.mark.parametrize("upweight", [7, "balance"])
def test_without_errors_or_with_nothing_else_it_is_plain_training(upweight: Any) -> None:
    assert torch.equal(JTT(upweight=upweight).rows(errors(10)), torch.arange(10))
    assert torch.equal(JTT(upweight="balance").rows(~errors(10)), torch.arange(10))


def test_an_epoch_is_shuffled_whole() -> None:
    data = tiny.split()
    method, _, state = begin(data, upweight=3)
    wanted = Counter(method.rows(state.wrong_N).tolist())
    orders = [torch.cat(list(method.batches(data, state, 16, Generator().manual_seed(seed)))) for seed in (0, 1)]
    assert all(Counter(order.tolist()) == wanted for order in orders)
    assert not torch.equal(*orders)
    n_rows = len(orders[0])
    sizes = [len(rows) for rows in method.batches(data, state, 16, Generator().manual_seed(0))]
    assert sizes == [16] * (n_rows // 16) + [n_rows % 16] * (n_rows % 16 > 0)


class _Texts:
    """Inputs of several lengths."""

    augments = slow = False

    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)


def test_texts_come_with_others_of_their_length() -> None:
    lengths = torch.randint(1, 1000, (2000,), generator=Generator().manual_seed(0))
    data: Any = Split(_Texts(lengths), torch.arange(2000) % 2, 2)  # type: ignore[arg-type]
    _, _, state = begin(tiny.split())
    state.wrong_N = torch.nn.Buffer(errors(2000, 1, 2, 3))
    method = JTT(upweight=50)
    batches = list(method.batches(data, state, 16, Generator().manual_seed(0)))
    assert Counter(torch.cat(batches).tolist()) == Counter(method.rows(state.wrong_N).tolist())
    spans = torch.tensor([float(lengths[rows].max() - lengths[rows].min()) for rows in batches])
    assert spans.median() < 50


# --- the errors ---


def test_errors_are_those_of_the_model_in_eval_mode() -> None:
    data, model = tiny.split(), tiny.network()
    model.encoder.append(torch.nn.Dropout(0.9))
    state: Any = JTT().start(data, model)
    assert model.training
    model.eval()
    assert torch.equal(state.wrong_N, model(data.inputs.x).argmax(1) != data.y)
    assert 0 < int(state.wrong_N.sum()) < 60


def test_moving_errors_are_those_of_the_steps_of_the_last_epoch() -> None:
    data, model = tiny.split(), tiny.network()
    method: Any = RecordedERM()
    state, optimizer = method.start(data, model), torch.optim.SGD(model.parameters(), lr=1.0)
    wanted = {}
    for epoch in range(2):
        for rows in method.batches(data, state, 16, Generator().manual_seed(epoch)):
            batch = data.batch(rows)
            wrong = model(batch.x).argmax(1) != batch.y
            wanted |= dict(zip(rows.tolist(), wrong.tolist(), strict=True))
            loss = method.loss(batch, model, state)
            torch.testing.assert_close(loss, ERM().loss(batch, model, state))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    second: Any = JTT(errors="moving").start(data, model)
    assert second.wrong_N.tolist() == [wanted[row] for row in range(60)]
    frozen: Any = JTT().start(data, model)
    assert not torch.equal(second.wrong_N, frozen.wrong_N)


def test_a_record_is_told_once_and_without_one_errors_are_those_of_the_model() -> None:
    data, model = tiny.split(), tiny.network()
    RecordedERM().start(data, model)
    assert recorded_errors(model) is not None
    assert recorded_errors(model) is None
    moving: Any = JTT(errors="moving").start(data, model)
    frozen: Any = JTT().start(data, model)
    assert torch.equal(moving.wrong_N, frozen.wrong_N)


# --- the whole training ---


def test_the_second_stage_begins_from_the_initial_weights() -> None:
    first, second = JTT(erm_epochs=3).stages()
    assert (first.method, first.epochs, first.keep) == (ERM(), 3, "last")
    assert second.restart
    assert JTT(errors="moving").stages()[0].method == RecordedERM()


def test_rows_that_stage_one_gets_wrong_are_learnt_better() -> None:
    train, val = tiny.split(200).without_groups(), tiny.split(200, seed=1).without_groups()
    losses = []
    for upweight in (1, 20):
        model = fit(tiny.network(), JTT(upweight=upweight), train, val, SETTINGS).model
        hard = JTT().start(train, fit(tiny.network(), ERM(), train, val, SETTINGS).model)
        loss_N = torch.nn.functional.cross_entropy(model(train.inputs.x), train.y, reduction="none")
        losses.append(loss_N[hard.wrong_N].mean())  # type: ignore[index]
    assert losses[1] < losses[0]


# --- errors ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"erm_epochs": 0}, "erm_epochs of JTT must be at least 1, got 0"),
        ({"upweight": 0}, "upweight of JTT must be at least 1 with copies=total, got 0"),
        ({"upweight": -1, "copies": "added"}, "upweight of JTT must be at least 0 with copies=added, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        JTT(**options)
