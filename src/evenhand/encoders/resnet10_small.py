"""A narrow residual network for images of 28 to 64 pixels a side, quick on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenhand.encoders._residual import residual


def resnet10_small(shape: tuple[int, ...], widths: Sequence[int] = (16, 32, 64, 128)) -> tuple[nn.Module, int]:
    """A residual block for each width, each after the first halving the image, and the mean over what remains.

    Images of more than 32 pixels a side are halved by the first convolution too. With the default widths there are
    0.3 million weights and 128 features. Images come as (channels, height, width) floats around 0.

    Raises:
        BadInput: rows are not images, are too small, or no width is given.
    """
    return residual("resnet10_small", shape, widths, n_blocks=1)
