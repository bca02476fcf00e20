"""Images in memory as bytes, delivered as normalised floats."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageInputs:
    """Images `x` (N, channels, height, width) uint8; rows come as float32, mapped from 0..255 to -1..1.

    Bytes take a quarter of the memory of floats; only the rows of a batch are converted.
    """

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows).float().div_(127.5).sub_(1.0)

    def to(self, device: torch.device) -> ImageInputs:
        return ImageInputs(self.x.to(device))
