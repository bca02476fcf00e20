"""MobileNetV2 of torchvision."""

from __future__ import annotations

from torch import nn

from evenhand.encoders._torchvision import torchvision_encoder


def mobilenet_v2(shape: tuple[int, ...], weights: str = "none") -> tuple[nn.Module, int]:
    """MobileNetV2: 1280 features, 2.2 million weights, for images of at least 32 pixels a side, made for 224.

    Sandler et al. (2018), MobileNetV2: Inverted residuals and linear bottlenecks.
    The dropout before the published classifier goes with it.

    Images come as (channels, height, width) floats in [-1, 1]; grey ones are taken as three equal channels. Published
    weights (`pretrained`, or a file of them) get them normalised as in ImageNet training.

    Raises:
        BadInput: rows are not images of 1 or 3 channels, are too small, or the weights cannot be had or do not fit.
    """
    return torchvision_encoder("mobilenet_v2", shape, weights, head="classifier"), 1280
