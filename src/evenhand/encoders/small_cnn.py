"""A small convolutional network for small images, quick on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenhand.errors import BadInput


def small_cnn(shape: tuple[int, ...], widths: Sequence[int] = (16, 32, 64)) -> tuple[nn.Module, int]:
    """A 3×3 convolution, batch normalisation and ReLU for each width, halving height and width each time.

    What remains is flattened and mapped to a vector of twice the last width. Images come as (channels, height, width)
    floats around 0.

    Raises:
        BadInput: rows are not images, are too small to be halved so often, or no width is given.
    """
    if len(shape) != 3:
        raise BadInput(f"the encoder small_cnn takes images (channels, height, width), got rows of shape {shape}")
    if not widths:
        raise BadInput("the encoder small_cnn needs at least one width, got none")
    channels, height, width = shape
    if min(height, width) < 2 ** len(widths):
        raise BadInput(
            f"the encoder small_cnn halves its images {len(widths)} times and needs {2 ** len(widths)} pixels a side, "
            f"got {height}×{width}"
        )
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip([channels, *widths[:-1]], widths, strict=True):
        layers += [nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
        height, width = -(-height // 2), -(-width // 2)
    n_features = 2 * widths[-1]
    layers += [nn.Flatten(), nn.Linear(widths[-1] * height * width, n_features), nn.ReLU()]
    return nn.Sequential(*layers), n_features
