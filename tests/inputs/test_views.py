from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as V

from evenhand.batch import RowsOf, TensorInputs
from evenhand.errors import BadInput
from evenhand.inputs import views as made
from evenhand.inputs._geometry import random_windows
from evenhand.inputs.images import ImageInputs, MemoryPixels
from evenhand.inputs.views import RATIO, WHITE_FROM, View, Views, viewed

EVERYTHING = View(jitter=0.7, grey=0.4, blur=0.5, solarise=0.4)
CLEAN = View((1.0, 1.0), jitter=0.0, grey=0.0, blur=0.0)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def images(batch: int, side: int = 16, *, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(256, (batch, channels, side, side), dtype=torch.uint8, generator=seeded(seed))


def one_by_one(view: View, x_BCHW: Tensor, rng: Generator, size: int) -> Tensor:
    """The same view by torchvision, image by image, from the same draws."""
    batch = len(x_BCHW)
    windows = [values.tolist() for values in random_windows(x_BCHW.shape, rng, view.scale, RATIO)]
    flip_B = torch.rand(batch, generator=rng) < 0.5
    reach = torch.tensor([view.brightness, view.contrast, view.saturation, view.hue])
    factor_B4 = reach * torch.empty(batch, 4).uniform_(-1, 1, generator=rng) + torch.tensor([1.0, 1, 1, 0])
    order_B4 = torch.rand(batch, 4, generator=rng).argsort(1)
    jitter_B = torch.rand(batch, generator=rng) < view.jitter
    grey_B = torch.rand(batch, generator=rng) < view.grey
    sigma_B = torch.empty(batch).uniform_(0.1 / 224, 2 / 224, generator=rng) * size
    blur_B = torch.rand(batch, generator=rng) < view.blur
    solarise_B = torch.rand(batch, generator=rng) < view.solarise
    adjust = (V.adjust_brightness, V.adjust_contrast, V.adjust_saturation, V.adjust_hue)
    taps = 2 * ceil(3 * size * 2 / 224) + 1
    found = []
    for i, image in enumerate(x_BCHW.float() / 255):
        top, left, height, width = (values[i] for values in windows)
        x = V.resized_crop(image, top, left, height, width, [size, size], antialias=False)
        x = V.horizontal_flip(x) if flip_B[i] else x
        for operation in order_B4[i].tolist() if jitter_B[i] else ():
            x = adjust[operation](x, float(factor_B4[i, operation]))
        x = V.rgb_to_grayscale(x, num_output_channels=len(x)) if grey_B[i] else x
        x = V.gaussian_blur(x, [taps, taps], [float(sigma_B[i])] * 2) if blur_B[i] else x
        found.append(V.solarize(x, WHITE_FROM) if solarise_B[i] else x)
    return torch.stack(found)


# --- against torchvision ---


@pytest.mark.parametrize(("side", "size", "channels"), [(16, 16, 3), (20, 16, 3), (16, 96, 3), (16, 16, 1)])
def test_a_view_is_that_of_torchvision_image_by_image(side: int, size: int, channels: int) -> None:
    x = images(40, side, channels=channels)
    found, wanted = EVERYTHING(x, seeded(3), size), one_by_one(EVERYTHING, x, seeded(3), size)
    # Values at the edge of solarising may fall on either side of it.
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)


@given(st.integers(0, 10**6), st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_hues_turn_as_in_torchvision(seed: int, turn: float) -> None:
    x = torch.rand(3, 3, 5, 5, generator=seeded(seed))
    x[1] = (x[1] * 3).round() / 3  # with equal channels
    wanted = torch.stack([V.adjust_hue(image, turn) for image in x])
    torch.testing.assert_close(made.turned(x, torch.full((3,), turn)), wanted, atol=1e-5, rtol=0)


@given(st.integers(0, 10**6), st.floats(0, 2))
@settings(max_examples=30, deadline=None)
def test_brightness_contrast_and_saturation_are_those_of_torchvision(seed: int, factor: float) -> None:
    x, factor_B = torch.rand(2, 3, 4, 4, generator=seeded(seed)), torch.full((2,), factor)
    for ours, theirs in (
        (made.brightened, V.adjust_brightness),
        (made.contrasted, V.adjust_contrast),
        (made.saturated, V.adjust_saturation),
    ):
        wanted = torch.stack([theirs(image, factor) for image in x])
        torch.testing.assert_close(ours(x, factor_B), wanted, atol=1e-5, rtol=0)


def test_each_image_is_blurred_by_its_own_width() -> None:
    x, sigma_B = torch.rand(4, 3, 12, 15, generator=seeded()), torch.tensor([0.2, 0.8, 1.5, 2.0])
    wanted = torch.stack([V.gaussian_blur(i, [9, 9], [float(s)] * 2) for i, s in zip(x, sigma_B, strict=True)])
    torch.testing.assert_close(made.blurred(x, sigma_B, 4), wanted, atol=1e-5, rtol=0)


# --- limits ---


def test_a_view_that_does_nothing_gives_the_image_or_its_mirror_image() -> None:
    x = images(200, 8)
    found = (CLEAN(x, seeded(), 8) * 255).round().to(torch.uint8)
    whole = [values.tolist() for values in random_windows(x.shape, seeded(), (1.0, 1.0), RATIO)]
    untouched = [i for i in range(200) if (whole[2][i], whole[3][i]) == (8, 8)]
    assert len(untouched) > 10
    same = [torch.equal(found[i], x[i]) for i in untouched]
    mirrored = [torch.equal(found[i], x[i].flip(-1)) for i in untouched]
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert 0 < sum(same) < len(untouched)


def test_views_have_their_range_shape_and_draws() -> None:
    views = Views(12, (EVERYTHING, CLEAN))
    x = images(1).expand(100, -1, -1, -1)
    before = x.clone()
    found = views(x, seeded())
    assert found.shape == (100, 2, 3, 12, 12)
    assert float(found.abs().max()) <= 1 + 1e-5
    assert len(torch.unique(found[:, 0].flatten(1), dim=0)) == 100
    assert torch.equal(found, views(x, seeded()))
    assert not torch.equal(found, views(x, seeded(1)))
    assert torch.equal(x, before)


def test_bytes_and_the_floats_they_stand_for_are_seen_alike() -> None:
    x, views = images(30), Views(16, (EVERYTHING, EVERYTHING))
    torch.testing.assert_close(views(x, seeded()), views(x / 127.5 - 1, seeded()), atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["jitter", "grey", "solarise"])
def test_probabilities_are_kept(name: str) -> None:
    x = images(1000, 8)
    with_it = replace(CLEAN, **{name: 0.3})(x, seeded(), 8)
    without = CLEAN(x, seeded(), 8)
    share = float((with_it != without).flatten(1).any(1).float().mean())
    assert abs(share - 0.3) < 0.06  # four standard deviations


# --- inputs ---


def test_all_kinds_of_image_inputs_are_viewed_where_a_generator_is_given() -> None:
    x, views = images(12), Views(16, (EVERYTHING, CLEAN))
    rows = torch.tensor([3, 1])
    wanted = views(x[rows], seeded())
    stored = ImageInputs(MemoryPixels(x))
    assert torch.equal(viewed(stored, views).take(rows, seeded()), wanted)
    part = viewed(RowsOf(stored, torch.tensor([1, 3])), views)
    assert torch.equal(part.take(torch.tensor([1, 0]), seeded()), wanted)
    tensors = TensorInputs(x / 127.5 - 1)
    held = viewed(tensors, views).to(torch.device("cpu"))
    assert (len(held), held.augments) == (12, True)
    torch.testing.assert_close(held.take(rows, seeded()), wanted, atol=2e-4, rtol=0)
    assert torch.equal(held.take(rows), tensors.take(rows))


def test_what_is_no_image_is_refused() -> None:
    views = Views(8, (CLEAN,))
    for x in (torch.rand(4, 3), torch.zeros(4, 3, 8, 8, dtype=torch.int64)):
        with pytest.raises(BadInput, match="views are of images; these inputs are none"):
            viewed(TensorInputs(x), views)
    with pytest.raises(BadInput, match="images of 1 or 3 channels, got 2"):
        views(images(2, channels=2), seeded())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.0, 1.0)}, "above 0 and at most 1, got 0.0"),
        ({"scale": (1.5, 1.0)}, "above 0 and at most 1, got 1.5"),
        ({"hue": 0.6}, r"hue of a view must lie in \[0, 0.5\], got 0.6"),
        ({"grey": -0.1}, r"grey of a view must lie in \[0, 1\], got -0.1"),
        ({"contrast": 1.1}, r"contrast of a view must lie in \[0, 1\], got 1.1"),
    ],
)
def test_impossible_views_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        View(**options)  # type: ignore[arg-type]
