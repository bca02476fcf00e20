"""ResNet-50 of torchvision."""

from __future__ import annotations

from torch import nn

from evenhand.encoders._torchvision import torchvision_encoder


def resnet50(shape: tuple[int, ...], weights: str = "none") -> tuple[nn.Module, int]:
    """ResNet-50: 2048 features, 23.5 million weights, for images of at least 32 pixels a side, made for 224.

    He et al. (2016), Deep residual learning for image recognition.
    Differs from the paper as torchvision's does: it is the 3×3 convolution of a block that halves the image.

    Images come as (channels, height, width) floats in [-1, 1]; grey ones are taken as three equal channels. Published
    weights (`pretrained`, or a file of them) get them normalised as in ImageNet training.

    Raises:
        BadInput: rows are not images of 1 or 3 channels, are too small, or the weights cannot be had or do not fit.
    """
    return torchvision_encoder("resnet50", shape, weights, head="fc"), 2048
