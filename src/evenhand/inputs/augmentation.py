"""Augmentation of whole batches of images on tensors, every image with draws of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from evenhand.errors import BadInput, unknown


@dataclass(frozen=True)
class Augmentation:
    """What training images go through, in this order whatever the order of the names.

    Attributes:
        names: of `resized-crop`, `crop`, `flip`.
        size: pixels a side of what is delivered.
    """

    names: tuple[str, ...]
    size: int

    def __call__(self, stored_BCHW: Tensor, rng: Generator) -> Tensor:
        """(B, C, size, size) floats in [-1, 1] of stored bytes."""
        x = stored_BCHW
        if "crop" in self.names:
            x = cropped(x, self.size, rng)
        if "flip" in self.names:
            x = flipped(x, rng)
        return as_floats(centre(x, self.size))


KNOWN = ("crop", "flip")


def augmentation(text: str, size: int) -> Augmentation | None:
    """The augmentation that a text such as `crop+flip` names; None for `none`.

    Raises:
        BadInput: an unknown name.
    """
    names = tuple(part.strip() for part in text.split("+"))
    if names == ("none",):
        return None
    for name in names:
        if name not in KNOWN:
            raise unknown("augmentation", name, ("none", *KNOWN))
    return Augmentation(names, size)


def as_floats(x: Tensor) -> Tensor:
    """Bytes 0..255 as floats -1..1."""
    return x.float().div_(127.5).sub_(1.0)


def centre(x_BCHW: Tensor, size: int) -> Tensor:
    """The central `size` × `size` pixels.

    Raises:
        BadInput: there are not so many.
    """
    height, width = x_BCHW.shape[-2:]
    if min(height, width) < size:
        raise BadInput(f"cannot deliver images of {size} pixels a side from stored ones of {height}×{width}")
    top, left = (height - size) // 2, (width - size) // 2
    return x_BCHW[..., top : top + size, left : left + size]


def flipped(x_BCHW: Tensor, rng: Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    mirrored_B = torch.rand(len(x_BCHW), generator=rng) < 0.5
    return torch.where(mirrored_B.to(x_BCHW.device)[:, None, None, None], x_BCHW.flip(-1), x_BCHW)


def cropped(x_BCHW: Tensor, size: int, rng: Generator, *, share: float = 0.125) -> Tensor:
    """A random `size` × `size` window of each image, padded before by its reflection, by `share` of `size`."""
    batch, channels, height, width = x_BCHW.shape
    pad = round(share * size)
    padded = F.pad(x_BCHW, (pad, pad, pad, pad), mode="reflect")
    rows, columns = height + 2 * pad - size + 1, width + 2 * pad - size + 1
    top_B = (torch.rand(batch, generator=rng) * rows).long().to(x_BCHW.device)
    left_B = (torch.rand(batch, generator=rng) * columns).long().to(x_BCHW.device)
    along = torch.arange(size, device=x_BCHW.device)
    y_BH = (top_B[:, None] + along)[:, None, :, None]
    x_BW = (left_B[:, None] + along)[:, None, None, :]
    which_B = torch.arange(batch, device=x_BCHW.device)[:, None, None, None]
    channel = torch.arange(channels, device=x_BCHW.device)[None, :, None, None]
    return padded[which_B, channel, y_BH, x_BW]
