from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as V

from evenhand.errors import BadInput
from evenhand.inputs._geometry import cropped, cutout, flipped, random_windows, reflected, resized_crop, windows
from evenhand.inputs.augmentation import KNOWN, as_floats, augmentation, centre

EVERYTHING = "cutout+randaugment+autoaugment+flip+crop+resized-crop"


def images(batch: int, side: int = 16, *, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(256, (batch, channels, side, side), dtype=torch.uint8, generator=seeded(seed))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def numbered(batch: int, side: int) -> Tensor:
    """Images that are all the same, each pixel of which tells where it is (row in channel 0, column in channel 1)."""
    along = torch.arange(side, dtype=torch.uint8)
    return torch.stack([along[:, None].expand(side, side), along.expand(side, side)]).expand(batch, 2, side, side)


# --- floats and centre ---


def test_bytes_become_floats_from_minus_one_to_one() -> None:
    x = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(as_floats(x), torch.linspace(-1, 1, 256))
    assert x[255] == 255


@pytest.mark.parametrize(("side", "size", "first"), [(8, 4, 2), (9, 4, 2), (5, 5, 0)])
def test_centre(side: int, size: int, first: int) -> None:
    found = centre(numbered(2, side), size)
    assert found.shape == (2, 2, size, size)
    assert found[0, 0, 0, 0] == found[0, 1, 0, 0] == first


def test_too_small_images_are_refused() -> None:
    for text in ("flip", "crop", "resized-crop"):
        augment = augmentation(text, 8)
        assert augment is not None
        with pytest.raises(BadInput, match="images of 8 pixels a side from stored ones of 7×7"):
            augment(images(2, 7), seeded())


# --- flip ---


def test_half_of_the_images_are_mirrored() -> None:
    x = images(2000, 4)
    found = flipped(x, seeded())
    same = (found == x).flatten(1).all(1)
    mirrored = (found == x.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert abs(int(mirrored.sum()) - 1000) < 100  # 4.5 standard deviations


# --- crop ---


@given(st.integers(3, 9), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_reflection_is_that_of_the_library(side: int, pad: int) -> None:
    x = images(2, side)
    assert torch.equal(reflected(x, pad), torch.nn.functional.pad(x, (pad,) * 4, mode="reflect"))


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 9), st.integers(0, 4), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_windows_are_those_cut_one_by_one(batch: int, channels: int, size: int, more: int, seed: int) -> None:
    x, rng = images(batch, size + more, channels=channels, seed=seed), seeded(seed)
    top_B, left_B = torch.randint(more + 1, (2, batch), generator=rng)
    cut = [
        x[i, :, top : top + size, left : left + size] for i, (top, left) in enumerate(zip(top_B, left_B, strict=True))
    ]
    assert torch.equal(windows(x, top_B, left_B, size), torch.stack(cut))
    strided = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(windows(strided, top_B, left_B, size), torch.stack(cut))


def test_crops_are_windows_of_the_padded_image_uniform_over_offsets() -> None:
    side, pad, n_images = 16, 2, 5000
    found = cropped(numbered(n_images, side), seeded(), size=side).long()
    padded = reflected(numbered(1, side), pad)[0].long()
    # The reflection tells rows 1 and 2 before the image from those inside by the pixel after them.
    starts = {tuple(padded[0, t : t + 2, 0].tolist()): t for t in range(2 * pad + 1)}
    top_B = torch.tensor([starts[tuple(pair)] for pair in found[:, 0, :2, 0].tolist()])
    left_B = torch.tensor([starts[tuple(pair)] for pair in found[:, 1, 0, :2].tolist()])
    for i in range(0, n_images, 100):
        assert torch.equal(found[i], padded[:, top_B[i] : top_B[i] + side, left_B[i] : left_B[i] + side])
    count = torch.bincount(top_B * 5 + left_B, minlength=25).double()
    chi_square = float(((count - n_images / 25) ** 2 / (n_images / 25)).sum())
    assert chi_square < 52  # the 99.9 % point with 24 degrees of freedom is 51.2


def test_crops_of_larger_images_reach_all_that_is_stored() -> None:
    found = cropped(numbered(3000, 12), seeded(), size=8)
    assert set(found[:, 0, 4, 4].tolist()) == set(range(3, 10))  # padded by 1: the first is -1 to 5
    assert found.shape == (3000, 2, 8, 8)


# --- resized crop ---


def test_random_windows_lie_inside_and_have_the_wanted_area_and_shape() -> None:
    top_B, left_B, height_B, width_B = random_windows(
        torch.Size([4000, 3, 100, 100]), seeded(), (0.7, 1.0), (3 / 4, 4 / 3)
    )
    assert (top_B >= 0).all()
    assert (left_B >= 0).all()
    assert (top_B + height_B <= 100).all()
    assert (left_B + width_B <= 100).all()
    share_B, ratio_B = height_B * width_B / 10_000, width_B / height_B
    assert 0.69 < float(share_B.min()) < 0.71
    assert float(share_B.max()) > 0.97
    assert float(ratio_B.min()) > 0.73
    assert float(ratio_B.max()) < 1.37
    assert abs(float(ratio_B.log().mean())) < 0.01
    free = height_B < 100
    assert abs(float((top_B / (100 - height_B))[free].mean()) - 0.5) < 0.02


def test_a_window_that_never_fits_becomes_as_large_as_its_shape_allows() -> None:
    top_B, left_B, height_B, width_B = random_windows(torch.Size([3, 3, 10, 40]), seeded(), (1.0, 1.0), (3 / 4, 4 / 3))
    assert height_B.tolist() == [10] * 3
    assert width_B.tolist() == [13] * 3
    assert top_B.tolist() == [0] * 3
    assert (left_B <= 27).all()


@pytest.mark.parametrize(("side", "size"), [(16, 16), (20, 16), (16, 24)])
def test_resized_crops_are_those_of_torchvision(side: int, size: int) -> None:
    x = images(20, side)
    drawn = random_windows(x.shape, seeded(3), (0.7, 1.0), (3 / 4, 4 / 3))
    one_by_one = [
        V.resized_crop(image, top, left, height, width, [size, size], antialias=False)
        for image, top, left, height, width in zip(x.float(), *(values.tolist() for values in drawn), strict=True)
    ]
    difference = (resized_crop(x, seeded(3), size=size) - torch.stack(one_by_one)).abs()
    assert float(difference.max()) <= 0.5 + 1e-3  # rounded to bytes


def test_the_whole_image_resized_to_its_own_size_stays_as_it_is() -> None:
    x = images(3)
    assert torch.equal(resized_crop(x, seeded(), size=16, scale=(1.0, 1.0), ratio=(1.0, 1.0)), x)


# --- cutout ---


def test_cutout_is_one_square_around_a_uniform_pixel() -> None:
    size, n_images = 8, 6400
    hole_BHW = (cutout(torch.ones(n_images, 3, size, size), seeded()) == 0).all(1)
    rows_BH, columns_BW = hole_BHW.any(2), hole_BHW.any(1)
    assert torch.equal(hole_BHW, rows_BH[:, :, None] & columns_BW[:, None, :])
    # A square of 4 around pixel p covers p-2..p+1, as far as these are in the image.
    wanted = torch.tensor([min(p + 2, size) - max(p - 2, 0) for p in range(size)])
    count = torch.bincount(rows_BH.sum(1), minlength=5).double()
    expected = torch.bincount(wanted, minlength=5).double() * n_images / size
    assert ((count - expected).abs() < 5 * expected.sqrt() + 1e-9).all()
    assert int(columns_BW.sum(1).min()) == 2
    assert int(columns_BW.sum(1).max()) == 4


def test_cutout_keeps_everything_else() -> None:
    augment, plain = augmentation("cutout-0.25", 16), as_floats(images(30))
    assert augment is not None
    found = augment(images(30), seeded())
    kept = (found != 0) | (plain == 0)
    assert torch.equal(found[kept], plain[kept])
    assert int((~kept).any(1).flatten(1).sum(1).max()) == 16  # pixels of a square of 4


# --- all together ---


@pytest.mark.parametrize("text", [*KNOWN, "autoaugment-imagenet", "randaugment-3-30", EVERYTHING])
def test_same_seed_same_images_other_seed_others(text: str) -> None:
    augment = augmentation(text, 16)
    assert augment is not None
    x = images(64, 18)
    found, before = augment(x, seeded(1)), x.clone()
    assert found.shape == (64, 3, 16, 16)
    assert found.dtype == torch.float32
    assert float(found.abs().max()) <= 1
    assert torch.equal(found, augment(x, seeded(1)))
    assert not torch.equal(found, augment(x, seeded(2)))
    assert torch.equal(x, before)


@pytest.mark.parametrize("text", [*KNOWN, EVERYTHING])
def test_equal_images_get_draws_of_their_own(text: str) -> None:
    augment = augmentation(text, 16)
    assert augment is not None
    found = augment(images(1).expand(200, -1, -1, -1), seeded())
    distinct = len(torch.unique(found.flatten(1), dim=0))
    assert distinct >= {
        "flip": 2,
        "crop": 24,
        "autoaugment": 10,
        "randaugment": 60,
        "cutout": 100,
        "resized-crop": 60,
    }.get(text, 150)


def test_the_order_of_names_does_not_matter() -> None:
    x = images(50)
    one, other = augmentation(EVERYTHING, 16), augmentation("+".join(KNOWN), 16)
    assert one is not None
    assert other is not None
    assert torch.equal(one(x, seeded()), other(x, seeded()))


def test_without_a_crop_the_centre_is_taken() -> None:
    augment = augmentation("flip", 8)
    assert augment is not None
    assert torch.equal(augment(images(40, 12), seeded()), as_floats(flipped(centre(images(40, 12), 8), seeded())))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corp", "unknown augmentation 'corp'; did you mean 'crop'"),
        ("crop+none", "unknown augmentation 'none'"),
        ("", "unknown augmentation ''"),
        ("flip+crop+flip", "names flip twice"),
        ("flip-3", "the augmentation flip does not take 1 values, got 'flip-3'"),
        ("randaugment-2", "the augmentation randaugment does not take 1 values"),
        ("randaugment-2-31", r"N of at least 1 and M in 0..30, got 2 and 31"),
        ("randaugment-0-3", r"N of at least 1"),
        ("randaugment-a-b", "randaugment-N-M takes numbers, got 'a'"),
        ("cutout-0", "a share above 0 and at most 1, got 0"),
        ("cutout-1.5", "a share above 0 and at most 1, got 1.5"),
        ("cutout-nan", "a share above 0 and at most 1, got nan"),
        ("autoaugment-cifr", "unknown policy of autoaugment 'cifr'; did you mean 'cifar'"),
    ],
)
def test_errors_say_what_was_wanted_and_got(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        augmentation(text, 16)


def test_none_is_no_augmentation() -> None:
    assert augmentation("none", 16) is None


def test_cropping_and_mirroring_a_batch_takes_milliseconds() -> None:
    augment, x = augmentation("crop+flip", 64), images(128, 64)
    assert augment is not None
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        augment(x, seeded())
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.01
