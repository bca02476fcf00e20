from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods.lisa import LISA
from evenhand.model import Model


def labelled(n_rows: int = 40, classes: int = 2, attributes: int = 2) -> Split:
    """Rows whose inputs say which class and which attribute they have, one-hot."""
    group = torch.arange(n_rows) % (classes * attributes)
    y, a = group // attributes, group % attributes
    x = torch.cat([torch.eye(classes)[y], torch.eye(attributes)[a]], dim=1).double()
    return Split.of(x, y, a, n_classes=classes, attribute_sizes=[attributes])


class Watching(torch.nn.Module):
    """An encoder that keeps what it was given."""

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return x


def seen(method: LISA, data: Split, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mixed classes and attributes that the encoder was given for a batch."""
    encoder = Watching()
    model = Model.linear(encoder, data.inputs.x.shape[1], data.n_classes).double()
    batch = tiny.whole(data) if rows is None else data.batch(rows)
    method.loss(batch, model, method.start(data, model))
    return encoder.x.split([data.n_classes, data.n_attributes], dim=1)


@pytest.mark.parametrize(("classes", "attributes"), [(2, 2), (3, 2), (2, 3), (3, 4)])
def test_same_label_keeps_labels_pure_and_mixes_attributes(classes: int, attributes: int) -> None:
    torch.manual_seed(0)
    data = labelled(48, classes, attributes)
    label, attribute = seen(LISA(same_label=1), data)
    torch.testing.assert_close(label, torch.eye(classes).double()[data.y])
    assert bool((attribute.amax(1) < 1).all())
    torch.testing.assert_close(attribute.sum(1), torch.ones(48).double())


@pytest.mark.parametrize(("classes", "attributes"), [(2, 2), (3, 2), (2, 3), (3, 4)])
def test_other_label_mixes_labels_and_keeps_attributes_pure(classes: int, attributes: int) -> None:
    torch.manual_seed(0)
    data = labelled(48, classes, attributes)
    label, attribute = seen(LISA(same_label=0), data)
    torch.testing.assert_close(attribute, torch.eye(attributes).double()[data.attribute])
    assert bool((label.amax(1) < 1).all())
    assert bool((label.gt(0).sum(1) == 2).all())


def test_every_row_has_a_share_of_its_own() -> None:
    torch.manual_seed(0)
    label, _ = seen(LISA(same_label=0), labelled(40))
    assert len(label[:, 0].unique()) == 40


def test_labels_are_mixed_as_inputs_are() -> None:
    """The gradient by the logits is softmax minus label."""
    torch.manual_seed(1)
    data, encoder = labelled(12), Watching()
    model = Model.linear(encoder, 4, 2, bias=False).double()
    torch.nn.init.zeros_(model.classifier.weight)
    method = LISA(same_label=0)
    method.loss(tiny.whole(data), model, method.start(data, model)).backward()
    label = encoder.x[:, :2]
    torch.testing.assert_close(model.classifier.weight.grad, (0.5 - label).T @ encoder.x / 12, atol=1e-6, rtol=0)


def test_the_coin_falls_as_often_as_it_should() -> None:
    torch.manual_seed(0)
    data, method = labelled(8), LISA(same_label=0.25)
    pure = sum(float(seen(method, data)[0].amax(1).min()) == 1 for _ in range(400))
    assert pure / 400 == pytest.approx(0.25, abs=0.09)


def test_alpha_is_2_for_mixup_and_point_2_for_cutmix_unless_given() -> None:
    torch.manual_seed(0)
    share = torch.cat([seen(LISA(same_label=0), labelled(40))[0][:, 0] for _ in range(50)])
    assert float(share.var()) == pytest.approx(1 / 20, rel=0.1)  # of Beta(2, 2)
    share = torch.cat([seen(LISA(same_label=0, alpha=1.0), labelled(40))[0][:, 0] for _ in range(50)])
    assert float(share.var()) == pytest.approx(1 / 12, rel=0.1)  # uniform


# --- rows that find no partner ---


def test_a_row_without_a_partner_adds_nothing() -> None:
    data, model = tiny.split(60, dtype=torch.float64), tiny.network(dtype=torch.float64)
    rows = torch.cat([torch.nonzero(data.group == g).flatten()[:3] for g in (0, 1, 2)])  # class 1 has one attribute
    method = LISA(same_label=1)
    state = method.start(data, model)
    for seed in range(5):
        torch.manual_seed(seed)
        with_it = method.loss(data.batch(rows), model, state)
        changed = data.batch(rows)
        changed.x[6:] += 10
        torch.manual_seed(seed)
        torch.testing.assert_close(method.loss(changed, model, state), with_it)


@pytest.mark.parametrize("same_label", [0.0, 1.0])
def test_a_batch_of_one_group_has_loss_0(same_label: float) -> None:
    data, model, method = tiny.split(), tiny.network(), LISA(same_label=same_label)
    batch = data.batch(torch.nonzero(data.group == 3).flatten())
    loss = method.loss(batch, model, method.start(data, model))
    loss.backward()
    assert loss.item() == 0


# --- cutmix and labels ---


def test_cutmix_pastes_one_box_from_rows_of_the_same_attribute_or_class() -> None:
    data = tiny.split(40, shape=(1, 6, 6))
    x = data.group.float().view(-1, 1, 1, 1).expand(-1, 1, 6, 6).clone()
    data, encoder = Split.of(x, data.y, data.attributes), Watching()
    model = Model(torch.nn.Sequential(encoder, torch.nn.Flatten()), torch.nn.Linear(36, 2))
    method = LISA(same_label=1, mix="cutmix", alpha=5.0)
    torch.manual_seed(0)
    method.loss(tiny.whole(data), model, method.start(data, model))
    changed = encoder.x != x
    own_class = encoder.x // 2 == x // 2
    assert bool(own_class.all())
    assert bool(changed.any())
    assert all(torch.equal(changed[0], other) for other in changed)


def test_cutmix_takes_images_only() -> None:
    data, model, method = tiny.split(), tiny.network(), LISA(mix="cutmix")
    with pytest.raises(BadInput, match="CutMix takes images"):
        method.loss(tiny.whole(data), model, method.start(data, model))


def test_by_label_mixes_different_rows_of_one_class_whatever_their_attributes() -> None:
    y = torch.tensor([0, 0, 0, 1, 1])
    data = Split.of(torch.eye(5).double(), y, torch.tensor([0, 0, 1, 1, 1]))
    encoder = Watching()
    model, method = Model.linear(encoder, 5, 2).double(), LISA(by="label")
    torch.manual_seed(0)
    for _ in range(20):
        method.loss(tiny.whole(data), model, method.start(data, model))
        assert bool((encoder.x.gt(0).sum(1) == 2).all())  # of two different rows
        assert bool((encoder.x[:3, 3:] == 0).all())
        assert bool((encoder.x[3:, :3] == 0).all())


# --- batches ---


def batches(method: LISA, data: Split, size: int) -> list[Tensor]:
    return list(method.batches(data, method.start(data, tiny.network()), size, Generator().manual_seed(0)))


def test_batches_have_equally_many_rows_of_every_group() -> None:
    data = tiny.split(100)
    made = batches(LISA(), data, 16)
    assert len(made) == 7
    assert all(torch.bincount(data.group[rows]).tolist() == [4] * 4 for rows in made)


def test_an_epoch_may_end_with_the_smallest_group() -> None:
    group = torch.tensor([0] * 50 + [1] * 9 + [2] * 20 + [3] * 20)
    data = Split.of(torch.zeros(99, 2), group // 2, group % 2)
    assert len(batches(LISA(epoch="smallest_group"), data, 16)) == 2  # 9 rows, 4 in each batch
    assert len(batches(LISA(epoch="smallest_group"), data, 64)) == 1


@pytest.mark.parametrize(("classes", "at_once"), [(10, 10), (12, 4)])
def test_by_label_batches_have_four_labels_where_there_are_more_than_ten(classes: int, at_once: int) -> None:
    data = labelled(120, classes)
    made = batches(LISA(by="label"), data, 20)
    assert all(set(Counter(data.y[rows].tolist()).values()) == {20 // at_once} for rows in made)
    assert all(len(data.y[rows].unique()) == at_once for rows in made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"same_label": 1.5}, r"same_label of LISA must be in \[0, 1\], got 1.5"),
        ({"alpha": -1.0}, "alpha of LISA must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LISA(**options)


def test_a_batch_without_groups_is_refused() -> None:
    data, model, method = tiny.split(), tiny.network(), LISA()
    batch: Batch = tiny.whole(data)._replace(group=None)
    with pytest.raises(BadInput, match="LISA needs group labels in every batch"):
        method.loss(batch, model, method.start(data, model))
