"""ResNet-18 for images of 28 to 64 pixels a side."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenhand.encoders._residual import residual


def resnet18_small(shape: tuple[int, ...], widths: Sequence[int] = (64, 128, 256, 512)) -> tuple[nn.Module, int]:
    """ResNet-18 that begins with a 3×3 convolution and no pooling: 512 features, 11.2 million weights.

    He et al. (2016), Deep residual learning for image recognition, in the form in use for CIFAR (such as in
    Appendix B.9 of Chen et al. 2020, A simple framework for contrastive learning). Images of more than 32 pixels a
    side are halved by the first convolution. They come as (channels, height, width) floats around 0.

    Raises:
        BadInput: rows are not images, are too small, or no width is given.
    """
    return residual("resnet18_small", shape, widths, n_blocks=2)
