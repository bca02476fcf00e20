"""Rows dealt to three parts: ids stay together, groups keep their shares, and the seed decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evenhand.data._dealing import dealt, dealt_by_id
from evenhand.data.csv import dealt as dealt_of_a_table
from evenhand.errors import BadInput

FRACTIONS = st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.7, 0.1, 0.2), (0.34, 0.33, 0.33)])
SEEDS = st.integers(0, 2**31)
# Groups and ids of some rows, anyhow.
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=150)
# The sizes of ids, of which each is in one group: 5 groups of up to 60 ids of up to 4 rows.
SIZES = st.lists(st.lists(st.integers(1, 4), max_size=60), min_size=1, max_size=5)


def columns(rows: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    array = np.array(rows, dtype=np.int64)
    return array[:, 0], array[:, 1]


@given(ROWS, FRACTIONS, SEEDS)
def test_no_id_is_on_two_sides(rows: list[tuple[int, int]], fractions: tuple[float, ...], seed: int) -> None:
    group_N, id_N = columns(rows)
    part_N = dealt_by_id(group_N, id_N, fractions, seed)
    assert len(part_N) == len(rows)
    assert set(part_N.tolist()) <= {0, 1, 2}
    assert len({*zip(id_N.tolist(), part_N.tolist(), strict=True)}) == len(set(id_N.tolist()))


@given(SIZES, FRACTIONS, SEEDS)
def test_shares_of_every_group_are_near_the_fractions(
    sizes: list[list[int]], fractions: tuple[float, ...], seed: int
) -> None:
    ids = [(g, size) for g, group in enumerate(sizes) for size in group]
    group_N = np.array([g for g, size in ids for _ in range(size)], dtype=np.int64)
    id_N = np.array([i for i, (_, size) in enumerate(ids) for _ in range(size)], dtype=np.int64)
    if not ids:
        return
    part_N = dealt_by_id(group_N, id_N, fractions, seed)
    for g in set(group_N.tolist()):
        in_group = group_N == g
        largest = max(sizes[g])
        for part, fraction in enumerate(fractions):
            assert abs((part_N[in_group] == part).sum() - fraction * in_group.sum()) < 3 * largest
        if len(sizes[g]) >= 3 and largest == 1:
            assert {*part_N[in_group].tolist()} == {0, 1, 2}


@given(ROWS, FRACTIONS, SEEDS)
def test_the_seed_decides(rows: list[tuple[int, int]], fractions: tuple[float, ...], seed: int) -> None:
    group_N, id_N = columns(rows)
    first, again = (dealt_by_id(group_N, id_N, fractions, seed).tolist() for _ in range(2))
    assert first == again


def test_another_seed_deals_otherwise() -> None:
    group_N, id_N = np.arange(300) % 3, np.arange(300) // 2
    first, other = (dealt_by_id(group_N, id_N, (0.6, 0.2, 0.2), seed).tolist() for seed in (0, 1))
    assert first != other


def test_ids_that_are_texts_are_dealt_as_their_numbers_would_be() -> None:
    rng = np.random.default_rng(0)
    group_N, id_N = rng.integers(3, size=200), rng.integers(60, size=200)
    texts = [f"patient{number:03}" for number in id_N]
    of_numbers, of_texts = (dealt_by_id(group_N, ids, (0.6, 0.2, 0.2), 5).tolist() for ids in (id_N, texts))
    assert of_texts == of_numbers


def test_by_hand() -> None:
    """Ids of 3, 2, 1, 1, 1 rows for parts of 4, 2, 2: 3 to train, 2 to val, 1 to test, 1 to test, 1 to train."""
    id_N = np.repeat(np.arange(5), [3, 2, 1, 1, 1])
    part_N = dealt_by_id(np.zeros(8, dtype=np.int64), id_N, (0.5, 0.25, 0.25), 0)
    assert part_N[:5].tolist() == [0, 0, 0, 1, 1]
    assert sorted(part_N[5:].tolist()) == [0, 2, 2]


def test_large_ids_are_not_all_in_train() -> None:
    """Parts are alike in the sizes of ids too, not only in their numbers of rows."""
    id_N = np.concatenate([np.repeat(np.arange(100), 4), np.arange(100, 700)])
    part_N = dealt_by_id(np.zeros(1000, dtype=np.int64), id_N, (0.6, 0.2, 0.2), 0)
    assert np.bincount(part_N[:400]).tolist() == [240, 80, 80]
    assert np.bincount(part_N[400:]).tolist() == [360, 120, 120]


def test_a_part_of_no_share_gets_no_rows() -> None:
    part_N = dealt_by_id(np.arange(90) % 3, np.arange(90), (0.9, 0.1, 0.0), 0)
    assert np.bincount(part_N, minlength=3).tolist() == [81, 9, 0]


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_none(fractions: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match=r"fractions must be shares that add up to 1, got \["):
        dealt_by_id(np.zeros(3, dtype=np.int64), [0, 1, 2], fractions, 0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=100), FRACTIONS, SEEDS)
def test_without_ids_shares_are_within_one_row(groups: list[int], fractions: tuple[float, ...], seed: int) -> None:
    group_N: NDArray[Any] = np.array(groups)
    part_N = dealt(group_N, fractions, seed)
    for g in set(groups):
        count = np.bincount(part_N[group_N == g], minlength=3)
        assert np.abs(count - np.array(fractions) * (group_N == g).sum()).max() <= 1


def test_a_table_of_ones_own_is_dealt_the_same_way() -> None:
    assert dealt_of_a_table is dealt
