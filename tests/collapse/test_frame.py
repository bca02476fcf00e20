"""The nearest simplex."""

from __future__ import annotations

import math

import pytest
import torch
from made import rotation, simplex

from evenhand.collapse import nearest_frame


def assert_simplex(frame_KD: torch.Tensor) -> None:
    K = len(frame_KD)
    wanted_KK = K / (K - 1) * (torch.eye(K, dtype=torch.float64) - 1 / K)
    torch.testing.assert_close(frame_KD @ frame_KD.T, wanted_KK, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("classes", "dimensions"), [(2, 2), (3, 3), (5, 12)])
def test_of_a_simplex_it_is_that_simplex(classes: int, dimensions: int) -> None:
    frame_CD = simplex(classes, dimensions)
    found = nearest_frame(4 * frame_CD)
    torch.testing.assert_close(found.frame_KD, frame_CD)
    assert found.scale == pytest.approx(4)
    assert found.distance == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("classes", "dimensions"), [(2, 1), (4, 3), (4, 9)])
def test_it_is_a_simplex_and_none_is_nearer(classes: int, dimensions: int) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors_CD = torch.randn(classes, dimensions, generator=rng, dtype=torch.float64)
    found = nearest_frame(vectors_CD)
    assert_simplex(found.frame_KD)
    apart = torch.linalg.norm(found.scale * found.frame_KD - vectors_CD)
    assert found.distance == pytest.approx((apart / torch.linalg.norm(vectors_CD)).item())
    for seed in range(20):
        other_CD = found.frame_KD @ rotation(dimensions, seed)
        for scale in (0.9 * found.scale, found.scale, 1.1 * found.scale):
            assert torch.linalg.norm(scale * other_CD - vectors_CD) >= apart - 1e-12


def test_turning_turns_it_and_renaming_renames_it() -> None:
    vectors_CD = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frame_CD, order = nearest_frame(vectors_CD).frame_KD, torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(nearest_frame(vectors_CD @ rotation(6)).frame_KD, frame_CD @ rotation(6))
    torch.testing.assert_close(nearest_frame(vectors_CD[order]).frame_KD, frame_CD[order])


def test_vectors_of_nan_are_left_out() -> None:
    vectors_CD = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors_CD[1] = torch.nan
    found = nearest_frame(vectors_CD)
    assert found.frame_KD.isnan().all(1).tolist() == [False, True, False, False]
    assert_simplex(found.frame_KD[[0, 2, 3]])


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (5, 3)])
def test_where_there_is_none_it_is_nan(shape: tuple[int, int]) -> None:
    found = nearest_frame(torch.ones(shape))
    assert found.frame_KD.isnan().all()
    assert math.isnan(found.scale)
    assert math.isnan(found.distance)
