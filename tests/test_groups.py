from __future__ import annotations

import pytest
import torch
from torch import Tensor

from evenhand.groups import ABSENT, count_per_group, mean_per_group, sum_per_group

GROUP = torch.tensor([2, 0, 2, 3, 2, 0])  # of 5: groups 1 and 4 have no rows


def by_loop(values: Tensor, group: Tensor, n_groups: int) -> tuple[Tensor, Tensor, Tensor]:
    sums, counts = torch.zeros(n_groups, *values.shape[1:], dtype=values.dtype), torch.zeros(n_groups)
    for value, g in zip(values, group.tolist(), strict=True):
        sums[g] += value
        counts[g] += 1
    means = torch.stack([s / c if c else s * 0 for s, c in zip(sums, counts, strict=True)])
    return sums, counts, means


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reductions_agree_with_a_loop(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = torch.randn(shape, dtype=dtype)
    sums, counts, means = by_loop(values, GROUP, 5)
    torch.testing.assert_close(sum_per_group(values, GROUP, 5), sums)
    assert torch.equal(count_per_group(GROUP, 5), counts)
    found, count = mean_per_group(values, GROUP, 5)
    torch.testing.assert_close(found, means)
    assert torch.equal(count, counts.to(dtype))


def test_an_absent_group_has_mean_and_count_zero_and_no_gradient() -> None:
    values = torch.randn(6, requires_grad=True)
    means, counts = mean_per_group(values, GROUP, 5)
    assert means[[1, 4]].tolist() == counts[[1, 4]].tolist() == [0, 0]
    means[[1, 4]].sum().backward()
    assert torch.count_nonzero(values.grad) == 0


def test_no_rows_at_all() -> None:
    means, counts = mean_per_group(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 4)
    assert torch.equal(means, torch.zeros(4, 3))
    assert torch.equal(counts, torch.zeros(4))


def test_reductions_differentiate() -> None:
    values = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: mean_per_group(v, GROUP, 5)[0], (values,))


def test_reductions_work_under_vmap() -> None:
    values = torch.randn(3, 6)
    stacked = torch.vmap(lambda v: mean_per_group(v, GROUP, 5)[0])(values)
    torch.testing.assert_close(stacked, torch.stack([mean_per_group(v, GROUP, 5)[0] for v in values]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_count_of_an_absent_group_divides_zero_and_rounds_away(dtype: torch.dtype) -> None:
    absent = torch.tensor(ABSENT, dtype=dtype)
    assert 0 / absent == 0
    assert 1 + absent == 1
    assert torch.isfinite(1 / absent)
