"""Images in the size that a model was trained on."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Mode = Literal["shortest", "longest", "squash"]


def fitted(
    x_BCHW: Tensor,
    size: tuple[int, int],
    mode: Mode = "shortest",
    interpolation: Literal["bicubic", "bilinear"] = "bicubic",
    fill: float = -1.0,
) -> Tensor:
    """Images in [-1, 1] with `size` (height, width), resized with antialiasing as PIL does, without rounding to bytes.

    Args:
        mode: `shortest` makes the image cover `size` and takes its centre, `longest` makes it fit inside, with `fill`
            around it, `squash` does not keep its proportions.
    """
    height, width = x_BCHW.shape[2:]
    if (height, width) == size:
        return x_BCHW
    target = size if mode == "squash" else _in_proportion(height, width, size, mode)
    if target != (height, width):
        x_BCHW = F.interpolate(x_BCHW, target, mode=interpolation, antialias=True, align_corners=False).clamp(-1, 1)
    (top, bottom), (left, right) = (_margins(have, want) for have, want in zip(target, size, strict=True))
    return F.pad(x_BCHW, (left, right, top, bottom), value=fill)


def _in_proportion(height: int, width: int, size: tuple[int, int], mode: Mode) -> tuple[int, int]:
    """The height and width to resize to before the centre is taken, or margins are added."""
    ratios = height / size[0], width / size[1]
    ratio = min(ratios) if mode == "shortest" else max(ratios)
    whole = int if mode == "shortest" and size[0] == size[1] else round  # as torchvision, and as open_clip
    found = [max(1, whole(each / ratio + 1e-9)) for each in (height, width)]
    exact = ratios.index(ratio)
    found[exact] = size[exact]
    return found[0], found[1]


def _margins(have: int, want: int) -> tuple[int, int]:
    """What to add before and after; what is negative is cut off."""
    before = (want - have) // 2 if want > have else -round((have - want) / 2)
    return before, want - have - before
