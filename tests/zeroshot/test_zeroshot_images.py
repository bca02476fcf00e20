"""Images in the size and normalisation of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from evenhand.zeroshot._images import fitted

open_clip = pytest.importorskip("open_clip")


def picture(height: int, width: int) -> Image.Image:
    """A smooth coloured picture, as photographs are."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def as_floats(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 127.5 - 1


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(64, 64, 32), (20, 20, 48), (50, 81, 32), (81, 50, 32), (33, 47, 40), (40, 64, (24, 40)), (32, 32, 32)],
)
@pytest.mark.parametrize(
    ("mode", "interpolation"),
    [
        ("shortest", "bicubic"),
        ("longest", "bicubic"),
        ("longest", "bilinear"),
        ("squash", "bicubic"),
        ("squash", "bilinear"),
    ],
)
def test_pictures_are_prepared_as_open_clip_does(
    height: int, width: int, size: int | tuple[int, int], mode: str, interpolation: str
) -> None:
    image = picture(height, width)
    mean, std = (0.48, 0.45, 0.40), (0.27, 0.26, 0.28)
    transform = open_clip.image_transform(
        size, False, mean=mean, std=std, resize_mode=mode, interpolation=interpolation, fill_color=30
    )
    wanted = transform(image)
    target = (size, size) if isinstance(size, int) else size
    x = fitted(as_floats(image), target, mode, interpolation, 30 / 127.5 - 1)[0]
    scale = torch.tensor(std)[:, None, None] * 255
    difference = ((x + 1) / 2 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None] - wanted
    assert x.shape == wanted.shape
    assert (difference * scale).abs().max() < 2.01  # of 255: PIL rounds after each of two passes


def test_images_of_the_right_size_are_the_same_tensor() -> None:
    x = as_floats(picture(32, 32))
    assert fitted(x, (32, 32)) is x


def test_overshoot_of_bicubic_stays_in_range() -> None:
    x = torch.where(torch.arange(16) % 4 < 2, 1.0, -1.0).expand(1, 3, 16, 16)
    assert fitted(x, (37, 37)).abs().max() == 1
