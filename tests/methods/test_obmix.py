from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Beta

import tiny
from evenhand.batch import Batch, Split
from evenhand.errors import BadInput
from evenhand.methods._base import State
from evenhand.methods.mixup import Mixup
from evenhand.methods.obmix import OBMix

COUNTS = (90, 9, 1)


def imbalanced(copies: int = 1) -> Split:
    y = torch.repeat_interleave(torch.arange(3), copies * torch.tensor(COUNTS))
    return Split.of(torch.randn(len(y), tiny.FEATURES), y, n_classes=3)


def label_mass(method: OBMix, data: Split, epochs: int = 30) -> Tensor:
    """Share of each class in the mixed labels, as the mean derivative of the loss by the logits says."""
    mass = torch.zeros(data.n_classes).double()
    for seed in range(epochs):
        for rows in method.batches(data, State(), 50, Generator().manual_seed(seed)):
            model = tiny.echo(data.n_classes)
            x = torch.zeros(len(rows), data.n_classes, dtype=torch.float64, requires_grad=True)
            method.loss(Batch(x, data.y[rows], None, rows), model, State()).backward()
            mass += 1 / data.n_classes - model.classifier.forward(x.grad).sum(0).detach()  # softmax - label
    return mass / mass.sum()


def test_every_class_has_the_same_expected_label_mass() -> None:
    torch.manual_seed(0)
    torch.testing.assert_close(label_mass(OBMix(), imbalanced()), torch.full((3,), 1 / 3).double(), atol=0.02, rtol=0)


def test_mixup_leaves_the_label_mass_as_it_is() -> None:
    """What the method is for: ordinary mixup has the classes' own shares."""
    data = imbalanced()
    total = torch.zeros(3)
    for seed in range(30):
        for rows in Mixup().batches(data, State(), 50, Generator().manual_seed(seed)):
            total += torch.bincount(data.y[rows], minlength=3)
    torch.testing.assert_close(total / total.sum(), torch.tensor([0.9, 0.09, 0.01]))


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_balanced_mixup_has_little_of_the_balanced_stream(alpha: float) -> None:
    """The mean share of the balanced half is alpha / (alpha + 1)."""
    torch.manual_seed(0)
    part = alpha / (alpha + 1)
    wanted = (1 - part) * torch.tensor(COUNTS).double() / 100 + part / 3
    found = label_mass(OBMix(first="natural", alpha=alpha), imbalanced(), epochs=200)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)


def test_groups_instead_of_classes() -> None:
    data = tiny.split(400)
    rows = torch.cat([r for s in range(20) for r in OBMix(by="group").batches(data, State(), 16, rng(s))])
    share = torch.bincount(data.group[rows]) / len(rows)
    torch.testing.assert_close(share, torch.full((4,), 0.25), atol=0.03, rtol=0)
    assert OBMix(by="group").needs_groups
    assert not OBMix().needs_groups


def rng(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def test_by_group_refuses_data_without_groups() -> None:
    with pytest.raises(BadInput, match="OBMix needs group labels in training"):
        OBMix(by="group").start(tiny.split().without_groups(), tiny.network())


def test_the_loss_of_balanced_batches_is_mixup() -> None:
    batch, model = tiny.whole(tiny.split()), tiny.network()
    torch.manual_seed(0)
    loss = OBMix(alpha=0.7).loss(batch, model, State())
    torch.manual_seed(0)
    assert torch.equal(loss, Mixup(alpha=0.7).loss(batch, model, State()))


@pytest.mark.parametrize(
    ("n_rows", "pairs"), [(6, [(0, 3), (1, 4), (2, 5)]), (5, [(0, 2), (1, 3), (2, 4)]), (1, [(0, 0)])]
)
def test_natural_rows_are_mixed_with_balanced_ones(n_rows: int, pairs: list[tuple[int, int]]) -> None:
    data, model = tiny.split(classes=3, dtype=torch.float64), tiny.network(3, dtype=torch.float64)
    batch = data.batch(torch.arange(n_rows))
    torch.manual_seed(4)
    loss = OBMix(first="natural", alpha=0.3).loss(batch, model, State())
    torch.manual_seed(4)
    share = float(Beta(*torch.tensor([0.3, 1.0], dtype=torch.float64)).sample((1,)))
    total = 0.0
    for i, b in pairs:
        log_prob = model((1 - share) * batch.x[i] + share * batch.x[b]).log_softmax(0).detach()
        total -= float((1 - share) * log_prob[batch.y[i]] + share * log_prob[batch.y[b]])
    assert loss.item() == pytest.approx(total / len(pairs), abs=1e-12)


def test_a_quarter_of_a_balanced_row_is_a_quarter_of_its_label() -> None:
    """Label (.75, .25, 0) of a natural row of class 0 and a balanced one of class 1."""
    y = torch.tensor([0, 1])
    method = OBMix(first="natural", alpha=0.3)
    pairs = method._pairs(y)._replace(share=1 - 0.25)
    logits = torch.tensor([[0.2, -1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    pairs.losses(logits, y).sum().backward()
    tiny.assert_values(logits.softmax(1)[0] - logits.grad[0], 0.75, 0.25, 0)


@pytest.mark.parametrize(("size", "lengths"), [(16, {16, 8}), (7, {6, 2}), (1, {1})])
def test_natural_epochs_have_every_row_once_in_the_first_halves(size: int, lengths: set[int]) -> None:
    data = tiny.split(100)
    batches = list(OBMix(first="natural", alpha=0.3).batches(data, State(), size, rng(0)))
    assert {len(rows) for rows in batches} == lengths
    first = torch.cat([rows[: -(-len(rows) // 2)] for rows in batches])
    assert sorted(first.tolist()) == list(range(100))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="alpha of OBMix must be at least 0, got -1"):
        OBMix(alpha=-1)
    with pytest.raises(BadInput, match="alpha of OBMix must be above 0, got 0"):
        OBMix(alpha=0, first="natural")
