"""Wide residual network WRN-34-10 for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.encoders._shapes import image_shape
from evenhand.errors import BadInput

STEM = 16  # channels of the first convolution
N_BLOCKS = 5  # of each width: depth 34 = 6 × 5 + 4
LEAST = 16  # pixels a side


class _Block(nn.Module):
    """Two 3×3 convolutions after normalisation and ReLU beside a shortcut; a change of width shares the first ReLU."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(fan_in)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False)
        changes = stride != 1 or fan_in != fan_out
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x), inplace=True)
        inner = F.relu(self.norm2(self.conv1(active)), inplace=True)
        beside = x if self.shortcut is None else self.shortcut(active)
        total: Tensor = self.conv2(inner) + beside
        return total


def wide_resnet_34_10(shape: tuple[int, ...], widths: Sequence[int] = (160, 320, 640)) -> tuple[nn.Module, int]:
    """WRN-34-10: 640 features, 46 million weights; other widths make it smaller (`16,32,64` is WRN-34-1).

    Zagoruyko and Komodakis (2016), Wide residual networks, Table 1, with 5 blocks of each width and no dropout; each
    width after the first halves the image. Images come as (channels, height, width) floats around 0.

    Raises:
        BadInput: rows are not images, are too small, or no width is given.
    """
    channels, _, _ = image_shape("wide_resnet_34_10", shape, LEAST)
    if not widths:
        raise BadInput("the encoder wide_resnet_34_10 needs at least one width, got none")
    layers: list[nn.Module] = [nn.Conv2d(channels, STEM, 3, padding=1, bias=False)]
    for k, (fan_in, fan_out) in enumerate(zip([STEM, *widths[:-1]], widths, strict=True)):
        layers.append(_Block(fan_in, fan_out, stride=1 if k == 0 else 2))
        layers += [_Block(fan_out, fan_out, stride=1) for _ in range(N_BLOCKS - 1)]
    for module in nn.ModuleList(layers).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers), widths[-1]
