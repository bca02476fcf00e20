from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from evenhand.batch import Split, TensorInputs, combine
from evenhand.errors import BadInput

X = torch.arange(12.0).view(6, 2)
Y = torch.tensor([0, 1, 2, 0, 1, 2])
SEX = torch.tensor([0, 1, 0, 1, 0, 1])
RACE = torch.tensor([2, 1, 0, 0, 1, 2])


def named() -> Split:
    return Split(
        inputs=TensorInputs(X),
        y=Y,
        n_classes=3,
        attributes=torch.stack([SEX, RACE], 1),
        attribute_sizes=(2, 3),
        class_names=("low", "middle", "high"),
        attribute_names=("sex", "race"),
        attribute_values=(("Female", "Male"), ("A", "B", "C")),
    )


# --- attributes and groups ---


def test_without_attributes_groups_are_classes() -> None:
    split = Split.of(X, Y)
    assert not split.has_attributes
    assert split.n_attributes == 1
    assert split.n_groups == split.n_classes == 3
    assert torch.equal(split.group, Y)
    assert torch.equal(split.attribute, torch.zeros(6, dtype=torch.int64))


def test_group_is_class_times_attributes_plus_attribute() -> None:
    split = Split.of(X, Y, SEX)
    assert split.n_groups == 6
    assert split.group.tolist() == [2 * y + a for y, a in zip(Y.tolist(), SEX.tolist(), strict=True)]


def test_several_attributes_combine_with_the_first_most_significant() -> None:
    split = Split.of(X, Y, [SEX, RACE])
    assert split.n_attributes == 6
    assert split.attribute.tolist() == [3 * s + r for s, r in zip(SEX.tolist(), RACE.tolist(), strict=True)]
    assert split.n_groups == 18


def test_combinations_are_all_different() -> None:
    all_of_them = torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(4))
    assert combine(all_of_them, (2, 3, 4)).tolist() == list(range(24))


@pytest.mark.parametrize("attributes", [torch.stack([SEX, RACE], 1), [SEX, RACE], (SEX, RACE)])
def test_attributes_are_given_as_columns_or_as_a_matrix(attributes: Any) -> None:
    assert torch.equal(Split.of(X, Y, attributes).group, named().group)


def test_sizes_not_given_are_read_off_and_given_ones_are_kept() -> None:
    assert Split.of(X, Y, SEX).attribute_sizes == (2,)
    wide = Split.of(X, Y, SEX, n_classes=5, attribute_sizes=[4])
    assert (wide.n_classes, wide.n_attributes, wide.n_groups) == (5, 4, 20)


def test_counts_include_groups_without_rows() -> None:
    split = Split.of(X, Y, SEX, n_classes=4)
    assert split.count_G.tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert split.count_C.tolist() == [2, 2, 2, 0]


@pytest.mark.parametrize("group", range(18))
def test_every_group_has_its_own_name(group: int) -> None:
    y, s, r = group // 6, group // 3 % 2, group % 3
    assert (
        named().group_name(group) == f"y={['low', 'middle', 'high'][y]}, sex={['Female', 'Male'][s]}, race={'ABC'[r]}"
    )


def test_groups_without_names_are_numbers() -> None:
    assert Split.of(X, Y, [SEX, RACE]).group_name(11) == "y=1, a0=1, a1=2"
    assert Split.of(X, Y).group_name(2) == "y=2"


# --- batches ---


def test_a_batch_holds_the_rows_in_the_order_asked_for() -> None:
    rows = torch.tensor([4, 0, 4])
    batch = named().batch(rows)
    assert torch.equal(batch.x, X[rows])
    assert torch.equal(batch.y, Y[rows])
    assert torch.equal(batch.group, named().group[rows])
    assert torch.equal(batch.rows, rows)


def test_a_split_without_groups_has_no_trace_of_them() -> None:
    split = named().without_groups()
    assert split.batch(torch.tensor([0, 1])).group is None
    assert split.attributes is None
    assert (split.attribute_sizes, split.attribute_names, split.attribute_values) == ((), (), ())
    assert torch.equal(split.group, Y)
    assert split.class_names == named().class_names
    assert len(split) == 6


def test_moving_keeps_everything_else() -> None:
    split = named().to(torch.device("cpu"))
    assert torch.equal(split.group, named().group)
    assert split.group_name(3) == named().group_name(3)


# --- errors ---


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:5], r"y must have one value for each of the 6 inputs, got shape \(5,\)"),
        (Y[:, None], r"y must have one value for each of the 6 inputs, got shape \(6, 1\)"),
        (Y.int(), "y must be int64, got torch.int32"),
        (Y + 1, r"y must lie in 0..2, got 1..3"),
        (Y - 1, r"y must lie in 0..2, got -1..1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y: Tensor, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Split(TensorInputs(X), y, 3)


def test_attributes_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"attributes must have shape \(N, 2\) to match attribute_sizes, got \(6, 1\)"):
        Split(TensorInputs(X), Y, 3, SEX[:, None], (2, 3))
    with pytest.raises(BadInput, match=r"race must lie in 0..1, got 0..2"):
        Split(TensorInputs(X), Y, 3, torch.stack([SEX, RACE], 1), (2, 2), attribute_names=("sex", "race"))
    with pytest.raises(BadInput, match=r"attribute 0 must lie in 0..1, got -2..-1"):
        Split.of(X, Y, SEX - 2, attribute_sizes=[2])
    with pytest.raises(BadInput, match=r"attribute 0 must have one value for each of the 6 inputs, got shape \(4,\)"):
        Split.of(X, Y, SEX[:4])


def test_a_subset_is_a_split_of_its_own() -> None:
    x, y, attribute = torch.arange(12.0).view(6, 2), torch.tensor([0, 1, 0, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 0, 1])
    whole, rows = Split.of(x, y, attribute), torch.tensor([5, 1, 1, 0])
    part = whole.subset(rows)
    assert (len(part), part.n_classes, part.n_groups) == (4, 3, 6)
    assert torch.equal(part.group, whole.group[rows])
    assert torch.equal(part.batch(torch.tensor([3, 0])).x, x[[0, 5]])
    assert torch.equal(part.subset(torch.tensor([0, 3])).batch(torch.arange(2)).x, x[[5, 0]])
    assert part.without_groups().batch(torch.arange(4)).group is None
