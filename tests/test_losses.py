from __future__ import annotations

import math

import pytest
import torch

from evenhand.groups import mean_per_group
from evenhand.losses import at_least_single, cross_entropy, full_precision, mean_cross_entropy

LOGITS, Y = torch.tensor([[2.0, 0.0], [0.0, 0.0], [-1.0, 3.0]]), torch.tensor([0, 1, 0])
BY_HAND = [math.log(1 + math.exp(-2)), math.log(2), math.log(1 + math.exp(4))]


def test_cross_entropy_of_each_row_and_their_mean() -> None:
    assert cross_entropy(LOGITS, Y).tolist() == pytest.approx(BY_HAND)
    assert mean_cross_entropy(LOGITS, Y).item() == pytest.approx(sum(BY_HAND) / 3)


def test_cross_entropy_within_each_group_is_0_for_an_absent_one() -> None:
    loss_G, count_G = mean_per_group(cross_entropy(LOGITS, Y), torch.tensor([3, 0, 3]), 4)
    assert loss_G.tolist() == pytest.approx([BY_HAND[1], 0, 0, (BY_HAND[0] + BY_HAND[2]) / 2])
    assert count_G.tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_and_other_types_are_kept(dtype: torch.dtype) -> None:
    assert at_least_single(LOGITS.to(dtype)).dtype == torch.float32
    assert cross_entropy(LOGITS.to(dtype), Y).dtype == torch.float32
    assert at_least_single(LOGITS) is LOGITS
    assert cross_entropy(LOGITS.double(), Y).dtype == torch.float64


def test_full_precision_switches_autocasting_off_where_there_is_such_a_thing() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert (LOGITS @ LOGITS.T).dtype == torch.bfloat16
        with full_precision(LOGITS.device):
            assert (LOGITS @ LOGITS.T).dtype == torch.float32
    with full_precision(torch.device("meta")):
        pass


def test_huge_logits_give_finite_losses() -> None:
    assert bool(torch.isfinite(cross_entropy(LOGITS * 1e30, Y)).all())
