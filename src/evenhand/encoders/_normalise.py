"""The normalisation that published weights expect, as the first module of their encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of red, green and blue in 0..1
NOTHING = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # leaves floats in [-1, 1] as they are


class Normalise(nn.Module):
    """Images in [-1, 1] as `(pixels - mean) / std` of pixels in [0, 1]; grey ones become three equal channels.

    Mean and standard deviation are stored with the weights, so that who loads them normalises alike.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = NOTHING[0], std: Sequence[float] = NOTHING[1]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, 3, H, W) of (B, 3, H, W) or (B, 1, H, W)."""
        scale, shift = 0.5 / self.std, (0.5 - self.mean) / self.std
        return torch.addcmul(shift[:, None, None], x_BCHW, scale[:, None, None])

    def set_to(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Normalise by these from now on."""
        self.mean.copy_(torch.tensor(mean, device=self.mean.device))
        self.std.copy_(torch.tensor(std, device=self.std.device))


class Published(nn.Sequential):
    """A network with published weights behind its normalisation: `body(normalise(x))` are features (B, D)."""

    normalise: Normalise
    body: nn.Module

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.body = body
