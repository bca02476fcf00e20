"""Residual networks for small images: blocks of two 3×3 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.encoders._shapes import image_shape
from evenhand.errors import BadInput

LEAST = 16  # pixels a side


class Block(nn.Module):
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


def residual(name: str, shape: tuple[int, ...], widths: Sequence[int], n_blocks: int) -> tuple[nn.Module, int]:
    """A 3×3 convolution, `n_blocks` blocks for each width, each width after the first halving the image, and the mean.

    Images of more than 32 pixels a side are halved by the first convolution too.

    Raises:
        BadInput: rows are not images, are too small, or no width is given.
    """
    channels, height, width = image_shape(name, shape, LEAST)
    if not widths:
        raise BadInput(f"the encoder {name} needs at least one width, got none")
    stride = 2 if min(height, width) > 32 else 1
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    for k, (fan_in, fan_out) in enumerate(zip([widths[0], *widths[:-1]], widths, strict=True)):
        layers.append(Block(fan_in, fan_out, stride=1 if k == 0 else 2))
        layers += [Block(fan_out, fan_out, stride=1) for _ in range(n_blocks - 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), widths[-1]
