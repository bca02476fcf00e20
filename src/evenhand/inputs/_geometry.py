"""Windows, mirror images and holes: what is drawn for every image of a batch at once, without touching its values."""

from __future__ import annotations

from math import log

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

ATTEMPTS = 10  # at drawing a window that lies inside the image


def flipped(x_BCHW: Tensor, rng: Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    batch = len(x_BCHW)
    mirrored_B = torch.rand(batch, generator=rng) < 0.5
    chosen_B = torch.arange(batch) + batch * mirrored_B
    return torch.cat([x_BCHW, x_BCHW.flip(-1)]).index_select(0, chosen_B.to(x_BCHW.device))


def cropped(x_BCHW: Tensor, rng: Generator, *, size: int, share: float = 0.125) -> Tensor:
    """A random `size` × `size` window of each image, padded before by its reflection, by `share` of `size`.

    Krizhevsky, Sutskever and Hinton (2012); padded as in He et al. (2016), Section 4.2, by 4 pixels of 32 with the
    default. Windows are uniform over all offsets.
    """
    padded = reflected(x_BCHW, round(share * size))
    batch, _, height, width = padded.shape
    top_B = torch.randint(height - size + 1, (batch,), generator=rng)
    left_B = torch.randint(width - size + 1, (batch,), generator=rng)
    return windows(padded, top_B, left_B, size)


def reflected(x_BCHW: Tensor, pad: int) -> Tensor:
    """Images continued by `pad` pixels on each side by their reflection, whose axis is the outermost pixel."""
    for dim in (-2, -1):
        n = x_BCHW.shape[dim]
        before = x_BCHW.narrow(dim, 1, pad).flip(dim)
        x_BCHW = torch.cat([before, x_BCHW, x_BCHW.narrow(dim, n - 1 - pad, pad).flip(dim)], dim)
    return x_BCHW


def windows(x_BCHW: Tensor, top_B: Tensor, left_B: Tensor, size: int) -> Tensor:
    """The `size` × `size` window of each image with this upper left pixel (both int64 on the CPU).

    A view in which every pixel of the batch begins a window turns that into copies of whole rows: a hundred times
    faster than indexing each pixel.
    """
    x_BCHW = x_BCHW.contiguous()
    batch, channels, height, width = x_BCHW.shape
    last = (batch - 1) * channels * height * width + (height - size) * width + width - size
    every = x_BCHW.as_strided((last + 1, channels, size, size), (1, height * width, width, 1))
    first_B = (torch.arange(batch) * channels * height + top_B) * width + left_B
    return every.index_select(0, first_B.to(x_BCHW.device))


def resized_crop(
    x_BCHW: Tensor,
    rng: Generator,
    *,
    size: int,
    scale: tuple[float, float] = (0.7, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """A random window of each image, of another size and shape, resized to `size` × `size` bytes.

    Szegedy et al. (2015), Section 6; the defaults are those of group DRO's code for Waterbirds (Sagawa et al. 2020).
    The window has `scale` of the image's area, uniform, and width / height in `ratio`, uniform in the logarithm; it
    is uniform over the places where it fits. Bilinear without smoothing, so images should be stored at less than twice
    `size`.
    """
    top_B, left_B, height_B, width_B = random_windows(x_BCHW.shape, rng, scale, ratio)
    y_BS = _sampled(top_B, height_B, size, x_BCHW.shape[2])
    x_BS = _sampled(left_B, width_B, size, x_BCHW.shape[3])
    grid = torch.stack([x_BS[:, None, :].expand(-1, size, -1), y_BS[:, :, None].expand(-1, -1, size)], dim=-1)
    found = F.grid_sample(x_BCHW.float(), grid.to(x_BCHW.device), align_corners=False, padding_mode="border")
    return found.round_().to(torch.uint8)


def random_windows(
    shape: torch.Size, rng: Generator, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width in pixels (B int64 each) of a random window of each image."""
    batch, _, rows, columns = shape
    area = rows * columns * torch.empty(ATTEMPTS, batch).uniform_(*scale, generator=rng)
    shape_AB = torch.empty(ATTEMPTS, batch).uniform_(log(ratio[0]), log(ratio[1]), generator=rng).exp()
    width_AB, height_AB = (area * shape_AB).sqrt().round().long(), (area / shape_AB).sqrt().round().long()
    fits_AB = (width_AB <= columns) & (height_AB <= rows) & (width_AB > 0) & (height_AB > 0)
    first_B = fits_AB.int().argmax(0)[None]
    never_B = ~fits_AB.any(0)
    height_B = torch.where(never_B, min(rows, round(columns / ratio[0])), height_AB.gather(0, first_B)[0])
    width_B = torch.where(never_B, min(columns, round(rows * ratio[1])), width_AB.gather(0, first_B)[0])
    place_2B = torch.rand(2, batch, generator=rng, dtype=torch.float64)
    top_B = (place_2B[0] * (rows - height_B + 1)).long()
    left_B = (place_2B[1] * (columns - width_B + 1)).long()
    return top_B, left_B, height_B, width_B


def _sampled(first_B: Tensor, length_B: Tensor, size: int, n: int) -> Tensor:
    """(B, size) where along `n` pixels, as -1..1, the pixels of windows lie; none reaches beyond its window."""
    first_B1, length_B1 = first_B[:, None], length_B[:, None]
    within = (torch.arange(size) + 0.5) * length_B1 / size - 0.5
    pixel = first_B1 + torch.minimum(within.clamp(min=0), length_B1 - 1.0)
    return (2 * pixel + 1) / n - 1


def cutout(x_BCHW: Tensor, rng: Generator, *, share: float = 0.5) -> Tensor:
    """Images (floats around 0) with a square of 0 each, of `share` of the shorter side, around a uniform pixel.

    DeVries and Taylor (2017), Improved regularization of convolutional neural networks with cutout, Section 3: squares
    near the border reach beyond it. The images are changed in place.
    """
    batch, _, height, width = x_BCHW.shape
    side = round(share * min(height, width))
    inside = []
    for n in (height, width):
        first_B1 = torch.randint(n, (batch, 1), generator=rng) - side // 2
        along = torch.arange(n)
        inside.append((along >= first_B1) & (along < first_B1 + side))
    hole_BHW = inside[0][:, :, None] & inside[1][:, None, :]
    return x_BCHW.masked_fill_(hole_BHW[:, None].to(x_BCHW.device), 0.0)
