"""RWG, RWY, SUBG and SUBY: which rows they show, and how often."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

import tiny
from evenhand import methods
from evenhand.batch import Split
from evenhand.methods._base import State

COUNTS = (6, 2, 1, 1)  # of the groups (y, a): (0, 0), (0, 1), (1, 0), (1, 1); so classes have 8 and 2 rows


@pytest.fixture
def data() -> Split:
    group = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    return Split.of(torch.randn(10, tiny.FEATURES), group // 2, group % 2)


def epoch(name: str, data: Split, state: State, seed: int = 0, size: int = 4) -> Tensor:
    return torch.cat(list(methods.make(name).batches(data, state, size, Generator().manual_seed(seed))))


def start(name: str, data: Split) -> State:
    return methods.make(name).start(data, tiny.network())


@pytest.mark.parametrize(("name", "label", "n_labels"), [("rwg", "group", 4), ("rwy", "y", 2)])
def test_every_label_has_the_same_expected_share(name: str, label: str, n_labels: int, data: Split) -> None:
    data = data if name == "rwg" else data.without_groups()
    state = start(name, data)
    rows = torch.cat([epoch(name, data, state, seed) for seed in range(1000)])
    share = torch.bincount(getattr(data, label)[rows], minlength=n_labels) / len(rows)
    # 10,000 draws: three standard deviations are 0.015.
    torch.testing.assert_close(share, torch.full((n_labels,), 1 / n_labels), atol=0.015, rtol=0)


@pytest.mark.parametrize("name", ["rwg", "rwy"])
def test_an_epoch_has_as_many_rows_as_the_split_and_repeats_some(name: str, data: Split) -> None:
    rows = epoch(name, data, start(name, data))
    assert len(rows) == 10
    assert len(torch.unique(rows)) < 10


@pytest.mark.parametrize(("name", "label", "each"), [("subg", "group", 1), ("suby", "y", 2)])
def test_subset_has_as_many_of_each_label_as_the_rarest(name: str, label: str, each: int, data: Split) -> None:
    rows = epoch(name, data, start(name, data))
    assert len(rows) == 4
    assert len(torch.unique(rows)) == 4
    assert set(torch.bincount(getattr(data, label)[rows]).tolist()) == {each}


@pytest.mark.parametrize("name", ["subg", "suby"])
def test_subset_is_the_same_in_all_epochs_in_another_order(name: str, data: Split) -> None:
    state = start(name, data)
    epochs = [epoch(name, data, state, seed) for seed in range(8)]
    assert all(set(rows.tolist()) == set(epochs[0].tolist()) for rows in epochs)
    assert len({tuple(rows.tolist()) for rows in epochs}) > 1


@pytest.mark.parametrize("name", ["subg", "suby"])
def test_subset_follows_from_the_seed(name: str, data: Split) -> None:
    subsets = []
    for seed in [0, 0, *range(1, 10)]:
        torch.manual_seed(seed)
        subsets.append(tuple(sorted(epoch(name, data, methods.make(name).start(data, None)).tolist())))
    assert subsets[0] == subsets[1]
    assert len(set(subsets)) > 1


@pytest.mark.parametrize("name", ["rwg", "subg"])
def test_a_group_without_rows_is_left_out(name: str) -> None:
    group = torch.tensor([0, 0, 0, 1, 1, 3, 3])
    data = Split.of(torch.randn(7, tiny.FEATURES), group // 2, group % 2, attribute_sizes=[2])
    rows = torch.cat([epoch(name, data, start(name, data), seed) for seed in range(30)])
    assert set(group[rows].tolist()) == {0, 1, 3}


@pytest.mark.parametrize("name", ["rwg", "rwy", "subg", "suby"])
def test_the_loss_is_that_of_plain_training(name: str) -> None:
    data, model = tiny.split(), tiny.network()
    batch = tiny.whole(data)
    loss = methods.make(name).loss(batch, model, State())
    assert torch.equal(loss, methods.make("erm").loss(batch, model, State()))
