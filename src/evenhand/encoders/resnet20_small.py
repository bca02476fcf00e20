"""ResNet-20 for images of 28 to 64 pixels a side."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenhand.encoders._residual import residual


def resnet20_small(shape: tuple[int, ...], widths: Sequence[int] = (16, 32, 64)) -> tuple[nn.Module, int]:
    """ResNet-20 for CIFAR: 64 features, 0.27 million weights.

    He et al. (2016), Deep residual learning for image recognition, Section 4.2 with n = 3. Images of more than 32
    pixels a side are halved by the first convolution. They come as (channels, height, width) floats around 0.

    Differs from the authors' network: shortcuts between widths are 1×1 convolutions, not zeros beside a subsample.

    Raises:
        BadInput: rows are not images, are too small, or no width is given.
    """
    return residual("resnet20_small", shape, widths, n_blocks=3)
