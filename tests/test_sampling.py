from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from evenhand import sampling
from evenhand.errors import BadInput


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def shares(rows: Tensor, size: int) -> Tensor:
    return torch.bincount(rows, minlength=size) / len(rows)


# --- shuffled, in batches ---


def test_shuffled_is_a_permutation_that_follows_from_the_seed() -> None:
    assert sorted(sampling.shuffled(100, rng()).tolist()) == list(range(100))
    assert torch.equal(sampling.shuffled(100, rng()), sampling.shuffled(100, rng()))
    assert not torch.equal(sampling.shuffled(100, rng()), sampling.shuffled(100, rng(1)))


@pytest.mark.parametrize(
    ("n_rows", "drop_last", "sizes"),
    [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, True, [4, 4]), (3, False, [3]), (3, True, []), (0, False, [])],
)
def test_batches_cut_the_rows_in_order(n_rows: int, drop_last: bool, sizes: list[int]) -> None:
    batches = list(sampling.in_batches(torch.arange(n_rows), 4, drop_last=drop_last))
    assert [len(rows) for rows in batches] == sizes
    assert [row for rows in batches for row in rows.tolist()] == list(range(sum(sizes)))


# --- weighted ---


def test_weighted_draws_in_proportion_to_the_weights_of_any_scale() -> None:
    weights = torch.tensor([1.0, 0.0, 3.0, 6.0])
    for scale in (1e-20, 1.0, 1e20):
        found = shares(sampling.weighted(weights.double() * scale, 100_000, rng()), 4)
        torch.testing.assert_close(found, weights / 10, atol=0.006, rtol=0)  # four standard deviations
        assert found[1] == 0


def test_zero_weights_at_either_end_are_never_drawn() -> None:
    rows = sampling.weighted(torch.tensor([0.0, 1.0, 1.0, 0.0]), 10_000, rng())
    assert set(rows.tolist()) == {1, 2}


def test_weighted_follows_from_the_seed() -> None:
    weights = torch.rand(50, generator=rng())
    for replacement in (True, False):
        first, again = (sampling.weighted(weights, 20, rng(3), replacement=replacement) for _ in range(2))
        assert torch.equal(first, again)
        assert not torch.equal(first, sampling.weighted(weights, 20, rng(4), replacement=replacement))


def test_without_replacement_no_row_comes_twice_and_all_come_in_the_end() -> None:
    weights = torch.tensor([1.0, 2.0, 0.0, 3.0])
    for seed in range(50):
        assert sorted(sampling.weighted(weights, 3, rng(seed), replacement=False).tolist()) == [0, 1, 3]


def test_without_replacement_rows_come_first_in_proportion_to_their_weights() -> None:
    weights = torch.tensor([1.0, 3.0, 6.0])
    draws = torch.stack([sampling.weighted(weights, 2, rng(seed), replacement=False) for seed in range(5000)])
    torch.testing.assert_close(shares(draws[:, 0], 3), weights / 10, atol=0.03, rtol=0)
    # Second, given that row 2 came first: 1 to 3.
    after = draws[draws[:, 0] == 2, 1]
    torch.testing.assert_close(shares(after, 2), torch.tensor([0.25, 0.75]), atol=0.03, rtol=0)


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(BadInput, match="sampling weights must be finite, not negative, and not all zero"):
        sampling.weighted(torch.tensor(weights), 1, rng())


def test_more_rows_than_there_are_cannot_be_drawn_without_replacement() -> None:
    with pytest.raises(BadInput, match="cannot draw 3 rows without replacement from 2"):
        sampling.weighted(torch.tensor([1.0, 0.0, 2.0]), 3, rng(), replacement=False)


# --- balanced ---


def test_balancing_weights_computed_by_hand() -> None:
    count = torch.tensor([6, 2, 1, 1])
    label = torch.repeat_interleave(torch.arange(4), count)
    weights = sampling.balancing_weights(label, count)
    wanted = torch.tensor([10 / 6] * 6 + [5.0] * 2 + [10.0] * 2, dtype=torch.float64)
    torch.testing.assert_close(weights, wanted)
    mass = torch.zeros(4, dtype=torch.float64).index_add(0, label, weights)
    torch.testing.assert_close(mass / mass.sum(), torch.full((4,), 0.25, dtype=torch.float64))


def test_balanced_batches_have_equally_many_of_every_label() -> None:
    label = torch.tensor([0] * 20 + [1] * 3 + [2])
    batches = list(sampling.balanced_batches(label, 3, 4, 5, rng()))
    assert len(batches) == 5
    for rows in batches:
        assert torch.bincount(label[rows]).tolist() == [4, 4, 4]


def test_balanced_batches_draw_uniformly_within_a_label_and_mix_the_labels() -> None:
    label = torch.tensor([0] * 6 + [1] * 2)
    rows = torch.stack(list(sampling.balanced_batches(label, 2, 8, 2000, rng())))
    wanted = torch.tensor([1 / 12] * 6 + [1 / 4] * 2)
    torch.testing.assert_close(shares(rows.flatten(), 8), wanted, atol=0.01, rtol=0)
    torch.testing.assert_close(label[rows].float().mean(0), torch.full((16,), 0.5), atol=0.05, rtol=0)


def test_balanced_batches_need_rows_of_every_label() -> None:
    with pytest.raises(BadInput, match="a balanced batch needs rows of every label; 1 has none"):
        next(sampling.balanced_batches(torch.tensor([0, 2]), 3, 1, 1, rng()))


# --- subsampled ---


def test_subsample_has_as_many_of_each_label_as_the_rarest() -> None:
    label = torch.tensor([3] * 6 + [0] * 2 + [1] * 4)  # label 2 has no rows and does not count
    rows = sampling.subsampled(label, rng())
    assert len(torch.unique(rows)) == len(rows) == 6
    assert torch.bincount(label[rows]).tolist() == [2, 2, 0, 2]


def test_subsample_takes_every_row_of_a_label_equally_often() -> None:
    label = torch.tensor([0] * 6 + [1] * 2)
    rows = torch.cat([sampling.subsampled(label, rng(seed)) for seed in range(3000)])
    torch.testing.assert_close(shares(rows[rows < 6], 6), torch.full((6,), 1 / 6), atol=0.02, rtol=0)


def test_subsample_follows_from_the_seed() -> None:
    label = torch.arange(60) % 7 // 3
    assert torch.equal(sampling.subsampled(label, rng(5)), sampling.subsampled(label, rng(5)))


def test_no_rows_cannot_be_subsampled() -> None:
    with pytest.raises(BadInput, match="there are no rows"):
        sampling.subsampled(torch.zeros(0, dtype=torch.int64), rng())


# --- by label ---


def test_rank_counts_earlier_rows_of_the_same_label() -> None:
    label = torch.tensor([1, 0, 1, 1, 2, 0])
    assert sampling.rank_within_label(label).tolist() == [0, 0, 1, 2, 0, 1]


def test_rows_per_label_lists_them_in_order() -> None:
    rows, start, count = sampling.rows_per_label(torch.tensor([3, 0, 3, 0, 1]), 5)
    listed = [rows[s : s + c].tolist() for s, c in zip(start.tolist(), count.tolist(), strict=True)]
    assert listed == [[1, 3], [4], [], [0, 2], []]
