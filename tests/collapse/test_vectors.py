"""NC2: lengths and angles against values computed by hand; a simplex gives 0."""

from __future__ import annotations

import math

import pytest
import torch
from made import CLASSIFIER, example, rotation, simplex, unbalanced

from evenhand.collapse import class_mean_angle, vectors, weight_norm
from evenhand.collapse.classifier import Classifier

ALL = [
    vectors.equinorm,
    vectors.equiangularity,
    vectors.structure_error,
    lambda v: vectors.distances(v).variance,
    lambda v: vectors.log_inverse_distances(v).variance,
]


@pytest.mark.parametrize(
    ("measure", "means", "weights", "unbalanced_means"),
    [
        (vectors.equinorm, 0.102106, 0.433013, 0.222222),
        (vectors.equiangularity, 0.106689, 0.5, 0.284993),
        (vectors.structure_error, 0.223012, 0.816497, 0.436097),
    ],
)
def test_the_running_example(measure, means: float, weights: float, unbalanced_means: float) -> None:
    assert measure(example().classes().centred_KD()) == pytest.approx(means, abs=1e-6)
    assert measure(CLASSIFIER.weight_CD) == pytest.approx(weights, abs=1e-6)
    assert measure(unbalanced().classes().centred_KD("rows")) == pytest.approx(unbalanced_means, abs=1e-6)


def test_distances_of_the_running_example() -> None:
    means_CD = example().classes().centred_KD()
    assert vectors.equinorm(means_CD, unbiased=False) == pytest.approx(0.083369, abs=1e-6)
    assert vectors.distances(means_CD) == pytest.approx((1.728191, 0.004057), abs=1e-6)
    assert vectors.log_inverse_distances(means_CD) == pytest.approx((-0.546407, 0.001325), abs=1e-6)


@pytest.mark.parametrize(("classes", "dimensions"), [(2, 2), (3, 5), (10, 10), (100, 128)])
def test_a_simplex(classes: int, dimensions: int) -> None:
    frame_CD = 3 * simplex(classes, dimensions)
    for measure in ALL:
        assert measure(frame_CD) == pytest.approx(0, abs=1e-12)
    angle_C = class_mean_angle(Classifier.of(frame_CD))
    torch.testing.assert_close(angle_C, torch.zeros_like(angle_C), atol=1e-12, rtol=0)


@pytest.mark.parametrize("measure", ALL)
def test_turning_scaling_and_renaming_change_nothing(measure) -> None:
    vectors_KD = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = measure(vectors_KD)
    absent_D = torch.full((1, 9), torch.nan)
    assert measure(5 * vectors_KD @ rotation(9)) == pytest.approx(plain, rel=1e-9)
    assert measure(vectors_KD[torch.tensor([3, 1, 5, 0, 2, 4])]) == pytest.approx(plain, rel=1e-9)
    assert measure(torch.cat([vectors_KD[:2], absent_D, vectors_KD[2:]])) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("measure", ALL)
def test_one_vector_and_vectors_without_length_are_undefined(measure) -> None:
    assert math.isnan(measure(torch.ones(1, 4)))
    assert math.isnan(measure(torch.zeros(3, 4)))


def test_two_centred_vectors_are_always_a_simplex() -> None:
    two_KD = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for measure in ALL:
        assert measure(two_KD - two_KD.mean(0)) == pytest.approx(0, abs=1e-12)


def test_squared_distances_are_exactly_nothing_between_equal_vectors() -> None:
    vectors_KD = torch.randn(60, 301, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 100
    twice_KD = torch.cat([vectors_KD, vectors_KD])
    found_KK = vectors.squared_distances(twice_KD)
    wanted_KK = (twice_KD[:, None] - twice_KD).square().sum(2)
    torch.testing.assert_close(found_KK, wanted_KK, rtol=1e-9, atol=1e-9)
    assert found_KK[torch.arange(120), (torch.arange(120) + 60) % 120].abs().max() == 0


def test_geometry_of_weights() -> None:
    classifier = Classifier.of(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
    assert class_mean_angle(classifier).tolist() == pytest.approx([0.569036, 0.569036, 0.804738], abs=1e-6)
    assert weight_norm(classifier).tolist() == pytest.approx([1, 1, 2**0.5])
