"""A narrow residual network for images of 28 to 64 pixels a side, quick on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.errors import BadInput

LEAST = 16  # pixels a side


class _Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut; He et al. (2016), Deep residual learning, Figure 2."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(fan_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        total: Tensor = self.norm2(self.conv2(inner)) + self.shortcut(x)
        return torch.relu_(total)


def resnet10_small(shape: tuple[int, ...], widths: Sequence[int] = (16, 32, 64, 128)) -> tuple[nn.Module, int]:
    """A residual block for each width, each after the first halving the image, and the mean over what remains.

    Images of more than 32 pixels a side are halved by the first convolution too. With the default widths there are
    0.3 million weights and 128 features. Images come as (channels, height, width) floats around 0.

    Raises:
        BadInput: rows are not images, are too small, or no width is given.
    """
    if len(shape) != 3:
        raise BadInput(f"the encoder resnet10_small takes images (channels, height, width), got rows of shape {shape}")
    if not widths:
        raise BadInput("the encoder resnet10_small needs at least one width, got none")
    channels, height, width = shape
    if min(height, width) < LEAST:
        raise BadInput(f"the encoder resnet10_small needs at least {LEAST} pixels a side, got {height}×{width}")
    stride = 2 if min(height, width) > 32 else 1
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    for k, (fan_in, fan_out) in enumerate(zip([widths[0], *widths[:-1]], widths, strict=True)):
        layers.append(_Block(fan_in, fan_out, stride=1 if k == 0 else 2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), widths[-1]
