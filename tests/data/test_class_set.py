"""Long tails over classes, and images brought to size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evenhand.data._arrays import as_rgb, resized
from evenhand.data._class_set import first_of_each, long_tail
from evenhand.errors import BadInput


def test_exponential_tail_of_cifar10_is_the_published_one() -> None:
    """Cao et al. (2019): 5000 * 0.01 ** (c / 9), rounded down; 12,406 images in all."""
    counts = long_tail(np.full(10, 5000), "exponential", 100)
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert counts.sum() == 12406


def test_step_of_cifar10_is_the_published_one() -> None:
    assert long_tail(np.full(10, 5000), "step", 100).tolist() == [5000] * 5 + [50] * 5


@given(
    counts=st.lists(st.integers(1, 5000), min_size=2, max_size=30),
    kind=st.sampled_from(["exponential", "step"]),
    ratio=st.floats(1, 1000),
)
def test_tail_keeps_at_least_one_and_at_most_what_there_is(counts: list[int], kind: str, ratio: float) -> None:
    count_C = np.array(counts)
    kept_C = long_tail(count_C, kind, ratio)
    assert (kept_C >= 1).all()
    assert (kept_C <= count_C).all()
    assert (long_tail(count_C, kind, 1.0) == count_C).all()


@given(y=st.lists(st.integers(0, 4), min_size=1, max_size=60), seed=st.integers(0, 9))
def test_a_shorter_tail_is_part_of_a_longer_one(y: list[int], seed: int) -> None:
    y_N = np.array(y)
    count_C = np.bincount(y_N, minlength=5)
    few_N, many_N = (first_of_each(y_N, np.minimum(count_C, most), seed) for most in (2, 5))
    assert np.bincount(y_N[few_N], minlength=5).tolist() == np.minimum(count_C, 2).tolist()
    assert np.bincount(y_N[many_N], minlength=5).tolist() == np.minimum(count_C, 5).tolist()
    assert (many_N | ~few_N).all()


def test_images_of_the_right_size_are_not_copied() -> None:
    pixels = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    assert resized(pixels, 8, "squash") is pixels


def test_crop_takes_the_middle_and_squash_everything() -> None:
    pixels = np.zeros((1, 3, 4, 8), dtype=np.uint8)
    pixels[..., 2:6] = 200
    assert (resized(pixels, 4, "crop") == 200).all()
    assert resized(pixels, 4, "squash")[0, 0, 0, 0] < 50


def test_resized_as_pillow_does() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(1, 3, 10, 10)).astype(np.uint8)
    wanted = Image.fromarray(pixels[0].transpose(1, 2, 0)).resize((5, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized(pixels, 5, "squash")[0].transpose(1, 2, 0), np.asarray(wanted))


@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 5, 6, 1), (2, 1, 5, 6), (2, 5, 6, 3), (2, 3, 5, 6)])
def test_any_layout_becomes_planes(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    rgb = as_rgb(values)
    assert rgb.shape == (2, 3, 5, 6)
    first = values.reshape(2, 5, 6, -1)[..., 0] if shape[1] == 5 else values[:, 0]
    np.testing.assert_array_equal(rgb[:, 0], first)


@pytest.mark.parametrize("values", [np.zeros((2, 5, 6, 4), np.uint8), np.zeros((2, 5, 6)), np.zeros((2, 5), np.uint8)])
def test_other_arrays_are_refused(values: np.ndarray) -> None:
    with pytest.raises(BadInput, match="images must"):
        as_rgb(values)
